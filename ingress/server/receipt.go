package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// receiptPath is where a sender asks what became of its delivery, below its webhook.
const receiptPath = "/deliveries/:delivery_id"

// tellReceipt answers what became of a delivery. The request takes a place as others do.
func (s *Server) tellReceipt(c echo.Context) (exchange, error) {
	defer s.refuseUpload(c) // there is no use for a body
	head := s.head(c)
	if !webhook.IsID(head.WebhookID) {
		return exchange{}, ingress.NoWebhook()
	}
	conn := connOf(c.Request())
	who, leave := s.client(head.Address, conn)
	if leave {
		defer s.clients.leave(who)
	}
	if err := s.opts.Receiver.AuthenticateReceipt(head); err != nil {
		return exchange{}, s.slowDown(c, who, err)
	}
	held := hold{places: s.places, webhook: s.places.webhook(head.WebhookID), client: &who.usage}
	if err := held.take(1, 0); err != nil {
		return exchange{}, noPlace(err)
	}
	defer held.release()
	id, err := delivery.ParseID(c.Param("delivery_id"))
	if err != nil {
		return exchange{}, ingress.NoDelivery()
	}
	receipt, err := s.opts.Receiver.TellReceipt(context.Background(), head.WebhookID, id)
	if err != nil {
		return exchange{}, err
	}
	w := c.Response()
	w.Header()["Content-Type"] = jsonContentType
	w.Header().Set("Cache-Control", "no-store") // it is pending at first
	w.WriteHeader(http.StatusOK)
	w.Write(receipt) // the sender may ask again
	return exchange{receipt: ingress.Receipt{Status: ingress.Told}}, nil
}

// isNoted reports whether the list of rejections has a refusal. Of requests for receipts
// it has those that show a wrong credential or address.
func isNoted(c echo.Context, refusal *ingress.Error) bool {
	return c.Param("delivery_id") == "" || refusal.Code.IsAuthentication() || refusal.Code == ingress.AddressNotAllowed || refusal.Code == rateLimited
}

// setLocation names the receipt of a delivery that is to be executed.
func (s *Server) setLocation(c echo.Context, w *webhook.Webhook, receipt ingress.Receipt) {
	if receipt.Status != ingress.Pending || !ingress.GivesReceipts(w) {
		return
	}
	base := ""
	if public := s.opts.URL; public != nil {
		base = strings.TrimRight(public.EscapedPath(), "/")
	}
	buf := make([]byte, 0, 128)
	buf = append(buf, base...)
	buf = append(buf, "/hooks/"...)
	buf = append(buf, w.ID...)
	buf = append(buf, "/deliveries/"...)
	buf = receipt.ID.Append(buf)
	c.Response().Header().Set("Location", string(buf))
}
