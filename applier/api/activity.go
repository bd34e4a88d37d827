package api

import (
	"context"
	"net/http"
	"time"

	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const maxIdentifiers = 100

type dailyRequest struct {
	Identifier     []string `json:"identifier"`
	IdentifierType string   `json:"identifier_type"`
	Date           string   `json:"date"`
	Page           *int     `json:"page"`
	Limit          *int     `json:"limit"`
}

// daily is what a day brought. Pages are pages of the identifiers, as they were
// asked for.
type daily struct {
	Date       string        `json:"date"`
	Pagination pagination    `json:"pagination"`
	Results    []users.Daily `json:"results"`
}

type pagination struct {
	Page       int `json:"page"`
	Limit      int `json:"limit"`
	Total      int `json:"total"` // identifiers that were asked for
	TotalPages int `json:"total_pages"`
	Found      int `json:"found"` // of the total, on all pages
}

// check returns the day and says what is wrong.
func (q dailyRequest) check() (by webhook.UserKey, day time.Time, p pagination, err error) {
	p = pagination{Page: 1, Limit: defaultLimit, Total: len(q.Identifier)}
	if q.Page != nil {
		p.Page = *q.Page
	}
	if q.Limit != nil {
		p.Limit = *q.Limit
	}
	day, parseErr := time.Parse(users.DateFormat, q.Date)
	by = webhook.UserKey(q.IdentifierType)
	switch {
	case p.Total < 1 || p.Total > maxIdentifiers:
		err = failf(invalidRequest, "identifier is an array of 1 to %d emails or usernames.", maxIdentifiers)
	case by != webhook.ByEmail && by != webhook.ByUsername:
		err = failf(invalidRequest, "identifier_type is email or username.")
	case parseErr != nil:
		err = failf(invalidRequest, "date is a day in UTC, DD/MM/YYYY, such as 22/12/2025.")
	case p.Page < 1:
		err = failf(invalidRequest, "page is 1 or more.")
	case p.Limit < 1 || p.Limit > maxIdentifiers:
		err = failf(invalidRequest, "limit is 1 to %d.", maxIdentifiers)
	default:
		p.TotalPages = (p.Total + p.Limit - 1) / p.Limit
	}
	return by, day, p, err
}

func (s *server) dailyActivity(ctx context.Context, community string, r *http.Request) (answer, error) {
	var q dailyRequest
	if err := readRequest(r, &q); err != nil {
		return answer{}, err
	}
	by, day, p, err := q.check()
	if err != nil {
		return answer{}, err
	}
	found, err := s.Users.FindAll(ctx, community, by, q.Identifier)
	if err != nil {
		return answer{}, err
	}
	p.Found = found.Count()
	from, to := p.Total, p.Total
	if p.Page <= p.TotalPages {
		from = (p.Page - 1) * p.Limit
		to = min(from+p.Limit, p.Total)
	}
	results, err := s.Users.Daily(ctx, found, from, to, day)
	if err != nil {
		return answer{}, err
	}
	return answer{"What webhooks gave on that day, less what they took.", daily{q.Date, p, results}}, nil
}

type infoRequest struct {
	IDOrEmail string `json:"idOrEmail"`
}

func (s *server) userInfo(ctx context.Context, community string, r *http.Request) (answer, error) {
	var q infoRequest
	if err := readRequest(r, &q); err != nil {
		return answer{}, err
	}
	if q.IDOrEmail == "" || !isText(q.IDOrEmail) {
		return answer{}, failf(invalidRequest, "idOrEmail is a user's id or email.")
	}
	info, err := s.Users.Info(ctx, community, q.IDOrEmail, s.Now())
	if err != nil {
		return answer{}, err
	}
	return answer{"The user.", info}, nil
}

// readRequest reads the body of a request that has no query.
func readRequest(r *http.Request, into any) error {
	if p := newParameters(r); p.err != nil {
		return p.err
	}
	return readBody(r, into)
}
