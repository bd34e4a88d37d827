package postgres

// AuditInSlices has the accounts of every page audited in slices of so many logs.
func (s *Store) AuditInSlices(width int64) { s.slices = auditSlices{above: -1, width: width} }
