package pg

import (
	"fmt"
	"reflect"
	"strings"
)

// A table of rows that one statement writes is a struct of arrays, one field a column.
// The tag `column` has the column's name and the type of the array: bigint for a number
// of any size. Statements are made of the same struct, so that a value cannot get into
// another column than the one it is for.

// ColumnNames returns the names of a table's columns, separated by commas.
func ColumnNames[T any]() string {
	return strings.Join(eachColumn[T](func(_ int, name, _ string) string { return name }), ", ")
}

// ColumnParameters returns the parameters that are the columns of a table, numbered
// from the one after, separated by commas.
func ColumnParameters[T any](after int) string {
	return strings.Join(eachColumn[T](func(i int, _, kind string) string {
		return fmt.Sprintf("$%d::%s[]", after+i+1, kind)
	}), ", ")
}

// Unnest returns the rows of a table for FROM, by the name "as". Its columns are the
// parameters from the one after.
func Unnest[T any](as string, after int) string {
	return "unnest(" + ColumnParameters[T](after) + ") AS " + as + " (" + ColumnNames[T]() + ")"
}

// ColumnCount is how many columns a table has.
func ColumnCount[T any]() int { return reflect.TypeFor[T]().NumField() }

func eachColumn[T any](text func(i int, name, kind string) string) []string {
	t := reflect.TypeFor[T]()
	all := make([]string, t.NumField())
	for i := range all {
		name, kind, _ := strings.Cut(t.Field(i).Tag.Get("column"), " ")
		all[i] = text(i, name, kind)
	}
	return all
}

// AppendColumns appends the columns of a table to the arguments of a statement. table
// is a pointer.
func AppendColumns(args []any, table any) []any {
	v := reflect.ValueOf(table).Elem()
	for i := range v.NumField() {
		args = append(args, v.Field(i).Addr().Interface().(*Array).Param()) // a column is an array
	}
	return args
}

// maxSpare is the most memory of a column that is kept for the next batch, in bytes.
const maxSpare = 1 << 20

// Emptied returns the columns of a table without their values, with their memory.
func Emptied[T any](table T) T {
	v := reflect.ValueOf(&table).Elem()
	for i := range v.NumField() {
		v.Field(i).Addr().Interface().(*Array).empty() // a column is an array
	}
	return table
}
