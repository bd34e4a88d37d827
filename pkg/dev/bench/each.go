package main

import (
	"context"
	"fmt"
	"strings"
)

// lines is how many elements an order has, and so how many changes a delivery makes.
const lines = 10

// each is drain with orders of several lines, whose mapping adds the points of each.
func (b *bench) each(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Each: a backlog of %s orders with %d lines, settled by one applier, against bare statements with as many rows, in deliveries/s",
			whole(float64(b.size.drained/lines)), lines),
		Notes: []string{
			fmt.Sprintf("bare: one transaction for %d deliveries with %d log entries each, parameters made before.", bareBatch, lines),
			"The other columns are those of the part drain.",
		},
		header: drainHeader,
	}
	w, err := b.eachWorld(ctx)
	if err != nil {
		return s, err
	}
	return s, b.drainAgainstBare(ctx, &s, w, b.size.drained/lines, variant{"each", uniform})
}

// eachWorld has one community, whose webhook takes orders with lines.
func (b *bench) eachWorld(ctx context.Context) (*world, error) {
	community := spread("each", 1)[0]
	const one, all = "value: {path: order.points}", "each: order.lines, value: {path: points}"
	hook, err := b.newCommunity(ctx, community, 0, 1, strings.Replace(definition, one, all, 1))
	if err != nil {
		return nil, err
	}
	w := &world{communities: []string{community}, webhooks: []webhook{hook}, events: make([]event, users), changes: lines}
	for i := range w.events {
		w.events[i] = orderEvent(b.host, hook, i)
	}
	return w, nil
}

func orderEvent(host string, hook webhook, user int) event {
	var e event
	var items []string
	for k := range int64(lines) {
		amount := 1 + (int64(user)+k)%9
		e.points, e.amounts = e.points+amount, append(e.amounts, amount)
		items = append(items, fmt.Sprintf(`{"sku":"SKU-%d","quantity":1,"points":%d}`, k, amount))
	}
	e.body = fmt.Appendf(nil, `{"id":"evt_%08d","type":"order.paid","customer":{"login":%q},"order":{"id":"ord_%06d","lines":[%s]}}`,
		user, userName(user), user, strings.Join(items, ","))
	e.request = newRequest(host, hook, e.body)
	return e
}
