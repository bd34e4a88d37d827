package deadletter

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// decode is the inverse of encode. It is strict: what it does not know, or what
// does not fit together, is an error, a sentence without a payload's words.
func decode(text []byte) (postgres.FullDeadLetter, error) {
	var l line
	if err := json.Unmarshal(text, &l, json.RejectUnknownMembers(true)); err != nil {
		return postgres.FullDeadLetter{}, explain(err)
	}
	d := postgres.FullDeadLetter{
		Letter: admin.Letter{
			Delivery: admin.Delivery{
				ID: l.ID, Community: l.Community, WebhookID: l.WebhookID, Webhook: l.Webhook, Reason: &l.Reason, Detail: &l.Detail,
				Attempts: l.Attempts, Replays: l.Replays, ReceivedAt: l.ReceivedAt,
			},
			Version: l.Version, Path: admin.OrNil(l.Path), UserBy: l.UserBy, UserKey: l.UserKey, FailedAt: l.FailedAt,
		},
		Body: postgres.DeadLetterBody{Headers: l.Headers},
	}
	if l.UserID != (delivery.ID{}) {
		d.User = &admin.User{ID: l.UserID}
	}
	var errs [3]error
	query, err := join("query", l.Query, l.QueryBase64)
	d.Body.Method, d.Body.Query, errs[2] = l.Method, string(query), err
	d.Body.Payload, errs[0] = join("payload", l.Payload, l.PayloadBase64)
	d.Body.Edited, errs[1] = join("edited", l.Edited, l.EditedBase64)
	if err := cmp.Or(errs[0], errs[1], errs[2]); err != nil {
		return postgres.FullDeadLetter{}, err
	}
	d.PayloadBytes, d.Edited = len(d.Body.Payload), d.Body.Edited != nil
	if err := check(d, l.PayloadSHA256); err != nil {
		return postgres.FullDeadLetter{}, err
	}
	seen := make(map[delivery.ID]bool, len(l.Executions))
	for _, x := range l.Executions {
		e, err := decodeExecution(x, d)
		if err == nil && seen[e.ID] {
			err = errors.New("it is there twice")
		}
		if err != nil {
			return postgres.FullDeadLetter{}, fmt.Errorf("the execution %s: %w", x.ID, err)
		}
		seen[e.ID] = true
		d.Executions = append(d.Executions, e)
	}
	return d, nil
}

// explain turns the decoder's error into a sentence of ours: its own may quote
// what is in the line.
func explain(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("%s is there twice", member(syntax.JSONPointer))
		}
		return fmt.Errorf("it is not JSON at byte %d, as the lines of an export are: was the file cut or edited?", syntax.ByteOffset)
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case !ok:
		return errors.New("it cannot be read")
	case errors.Is(err, json.ErrUnknownName):
		return fmt.Errorf("%s is not a member that a dead letter has", member(semantic.JSONPointer))
	case errors.Is(err, delivery.ErrID):
		return fmt.Errorf("the value at %s is %w", member(semantic.JSONPointer), delivery.ErrID)
	}
	return fmt.Errorf("the value at %s is not of the kind that it has in an export", member(semantic.JSONPointer))
}

func member(at jsontext.Pointer) string { return fmt.Sprintf("%q", string(at)) }

func join(name string, text *string, bytes []byte) ([]byte, error) {
	switch {
	case text != nil && bytes != nil:
		return nil, fmt.Errorf("it has both %s and %s_base64", name, name)
	case text != nil:
		return []byte(*text), nil
	}
	return bytes, nil
}

// maxQuery is more than an ingress takes.
const maxQuery = 32 << 10

func check(d postgres.FullDeadLetter, wantSHA256 string) error {
	sum := sha256.Sum256(d.Body.Payload)
	switch {
	case d.ID == delivery.ID{}:
		return errors.New("the id is missing")
	case !webhook.IsID(d.WebhookID) && *d.Reason != delivery.MalformedDelivery && *d.Reason != delivery.WebhookDeleted:
		return errors.New("webhook_id is not a webhook's id")
	case !slices.Contains(delivery.Reasons(), *d.Reason):
		return fmt.Errorf("%q is not a reason", *d.Reason)
	case d.Body.Payload == nil:
		return errors.New("there is neither payload nor payload_base64")
	case max(len(d.Body.Payload), len(d.Body.Edited)) > broker.MaxBodyBytes:
		return fmt.Errorf("the payload has more than the %d bytes that fit into a message: it could not be replayed", broker.MaxBodyBytes)
	case d.Body.Method != "" && d.Body.Method != http.MethodGet && d.Body.Method != http.MethodPut:
		return errors.New("method is GET or PUT; POST has none")
	case len(d.Body.Query) > maxQuery:
		return fmt.Errorf("the query has more than %d bytes", maxQuery)
	case wantSHA256 != hex.EncodeToString(sum[:]):
		return errors.New("payload_sha256 is not that of the payload: was the file edited?")
	case d.UserBy != "" && !webhook.UserKey(d.UserBy).IsValid():
		return errors.New("user_by is none of email, username, id and external:KIND")
	case (d.UserBy == "") != (d.UserKey == ""):
		return errors.New("user_by and user_key go together")
	}
	if err := checkNumbers(d.Version, d.Attempts, d.Replays); err != nil {
		return err
	}
	if at := d.ID.Time(); isAhead(at) {
		return fmt.Errorf("the id says that it was made at %s, which is in the future: an export has the ids that an ingress gave", at.UTC().Format(time.RFC3339))
	}
	return checkTimes(d.ReceivedAt, d.FailedAt)
}

func checkNumbers(numbers ...int) error {
	for _, n := range numbers {
		if n < 0 || n > math.MaxInt32 {
			return errors.New("version, attempts and replays are 0 to 2147483647")
		}
	}
	return nil
}

func checkTimes(times ...time.Time) error {
	for _, t := range times {
		switch {
		case t.Year() < 1970:
			return errors.New("a time is missing, or before 1970")
		case isAhead(t):
			return fmt.Errorf("the time %s is in the future: was the file edited, or is a clock wrong?", t.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// clocksDiffer is more than the clocks of two servers do.
const clocksDiffer = 5 * time.Minute

// isAhead reports whether nothing can have happened at that time yet. Lists, the removal
// for age and late users go by times: a letter of the future would be first for years.
func isAhead(t time.Time) bool { return t.After(time.Now().Add(clocksDiffer)) }

var causes = []delivery.Cause{history.FirstDelivery, delivery.Manual, delivery.Bulk, delivery.UserFound}

func decodeExecution(x execution, d postgres.FullDeadLetter) (postgres.Execution, error) {
	e := postgres.Execution{
		DeliveryID: d.ID, ID: x.ID, Cause: x.Cause, RequestedBy: x.RequestedBy, RequestedAt: x.RequestedAt, Note: x.Note,
		Effect: x.Effect, Version: x.Version, Status: x.Status, Outcome: x.Outcome, Reason: x.Reason, Detail: x.Detail, Path: x.Path,
		Attempts: x.Attempts, At: x.At,
	}
	var errs [2]error
	e.Edited, errs[0] = join("edited", x.Edited, x.EditedBase64)
	e.Original, errs[1] = join("original", x.Original, x.OriginalBase64)
	if err := cmp.Or(errs[0], errs[1], checkNumbers(x.Version, x.Attempts), checkTimes(x.At)); err != nil {
		return postgres.Execution{}, err
	}
	switch {
	case e.ID == delivery.ID{}:
		return e, errors.New("its id is missing")
	case isAhead(e.RequestedAt):
		return e, checkTimes(e.RequestedAt)
	case !slices.Contains(causes, e.Cause):
		return e, fmt.Errorf("%q is not a cause", e.Cause)
	case (e.Cause == history.FirstDelivery) != (e.ID == d.ID):
		return e, errors.New("only the first execution has the delivery's id")
	case e.Status != delivery.Success && e.Status != delivery.Failed:
		return e, fmt.Errorf("%q is not the status of an execution", e.Status)
	case e.Reason != "" && !slices.Contains(delivery.Reasons(), e.Reason):
		return e, fmt.Errorf("%q is not a reason", e.Reason)
	}
	return e, nil
}
