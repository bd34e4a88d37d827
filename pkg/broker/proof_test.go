package broker

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

func deliveryKeys(tb testing.TB, letters ...string) secret.DeliveryKeys {
	tb.Helper()
	texts := make([]string, len(letters))
	for i, letter := range letters {
		texts[i] = strings.Repeat(letter, 42) + "A="
	}
	keys, err := secret.ParseDeliveryKeys(strings.Join(texts, ","))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// signedAll encodes deliveries into one message, signed with the first key.
func signedAll(tb testing.TB, keys secret.DeliveryKeys, all ...delivery.Delivery) (message []byte) {
	tb.Helper()
	for _, e := range entriesOf(tb, all...) {
		e.sign(keys)
		message = e.appendTo(message)
	}
	return message
}

func genuine(body string) delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.NewID(), WebhookID: "wh_a", Revision: 3, Slot: 7, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
		Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}}, Body: []byte(body),
	}
}

// isRefused reports whether a delivery without proof is one that fails, under an id
// that nobody else has.
func isRefused(d, of delivery.Delivery) bool {
	return d.Unproven && d.Malformed != "" && d.ID != of.ID && d.Replay == nil && d.First == nil && d.Revision == 0 && !d.Newer
}

// TestSignedDeliveriesAreReadAsTheyWere: also with keys that are there for a rotation.
func TestSignedDeliveriesAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	old, both := deliveryKeys(t, "a"), deliveryKeys(t, "b", "a")
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(anyDelivery), 1, 4).Draw(t, "deliveries")
		message := []byte{}
		for i := range want {
			want[i].ReceivedAt = time.Now().UTC().Truncate(time.Microsecond)
			if want[i].Replay != nil {
				want[i].Replay.RequestedAt = want[i].ReceivedAt
			}
			var e encoded
			if err := e.encode(&want[i]); err != nil {
				t.Fatal(err)
			}
			e.signFor(rapid.SampledFrom([]secret.DeliveryKeys{old, both}).Draw(t, "key"), 1)
			before := len(message)
			if message = e.appendTo(message); len(message)-before > e.size() {
				t.Errorf("%d bytes, and said to be %d at most", len(message)-before, e.size())
			}
		}
		if diff := cmp.Diff(decodeMessage(nil, message, 7, time.Now(), 1), proof{keys: both}.decode(nil, message, 7, time.Now(), 1, nil), cmp.FilterPath(func(p cmp.Path) bool {
			return p.Last().String() == ".StoredAt"
		}, cmp.Ignore())); diff != "" {
			t.Errorf("with keys it is read in another way (-without +with):\n%s", diff)
		}
	})
}

// TestADeliveryThatIsNotAsItWasSignedIsRefused: each of its parts is changed, and each
// of its bits.
func TestADeliveryThatIsNotAsItWasSignedIsRefused(t *testing.T) {
	t.Parallel()
	keys, now := deliveryKeys(t, "a"), time.Now()
	d := genuine(`{"coins":1}`)
	check := func(name string, message []byte) {
		t.Helper()
		for _, got := range (proof{keys: keys}).decode(nil, message, 7, now, 1, nil) {
			if !isRefused(got, d) && got.Malformed != "The message is not a batch of deliveries." {
				t.Fatalf("%s: read as %+v", name, got)
			}
		}
	}
	check("without a MAC", encodeAll(t, d))
	check("signed with another key", signedAll(t, deliveryKeys(t, "b"), d))
	var signed encoded
	if err := signed.encode(&d); err != nil {
		t.Fatal(err)
	}
	signed.sign(keys)
	for name, change := range map[string]func(*delivery.Delivery){
		"another id":       func(d *delivery.Delivery) { d.ID[15]++ },
		"another webhook":  func(d *delivery.Delivery) { d.WebhookID = "wh_b" },
		"another method":   func(d *delivery.Delivery) { d.Method = "GET" },
		"another query":    func(d *delivery.Delivery) { d.Query = "coins=1000" },
		"another revision": func(d *delivery.Delivery) { d.Revision = 2 },
		"no revision":      func(d *delivery.Delivery) { d.Revision = 0 },
		"another time":     func(d *delivery.Delivery) { d.ReceivedAt = d.ReceivedAt.Add(time.Microsecond) },
		"another slot":     func(d *delivery.Delivery) { d.Slot = 8 },
		"no header":        func(d *delivery.Delivery) { d.Headers = nil },
		"another header":   func(d *delivery.Delivery) { d.Headers = []delivery.Header{{Name: "X-Encrypted", Value: "false"}} },
		"another body":     func(d *delivery.Delivery) { d.Body = []byte(`{"coins":9}`) },
		"no body":          func(d *delivery.Delivery) { d.Body = nil },
		"a replay": func(d *delivery.Delivery) {
			d.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedAt: now, Edited: true}
		},
		"a copy": func(d *delivery.Delivery) { d.First = &delivery.Place{Incarnation: "x", StoredAt: now} },
	} {
		changed := d
		change(&changed)
		var e encoded
		if err := e.encode(&changed); err != nil {
			t.Fatal(err)
		}
		e.mac = signed.mac
		check(name, e.appendTo(nil))
	}
	message := signed.appendTo(nil)
	frame := len(message) - len(signed.head) - len(signed.body) - len(signed.mac)
	for bit := range 8 * (len(message) - frame) {
		forged := slices.Clone(message)
		forged[frame+bit/8] ^= 1 << (bit % 8)
		check("a bit", forged)
	}
	for n := range len(message) {
		check("cut short", message[:n])
	}
	// Bytes that are appended to a signed delivery would replace those that were signed.
	longer := protowire.AppendBytes(protowire.AppendTag(slices.Clone(message[frame:]), deliveryBody, protowire.BytesType), []byte(`{"coins":9}`))
	check("with another body behind", protowire.AppendBytes(protowire.AppendTag(nil, batchDeliveries, protowire.BytesType), longer))
	longer = append(longer, signed.mac...)
	check("with another body and the MAC behind", protowire.AppendBytes(protowire.AppendTag(nil, batchDeliveries, protowire.BytesType), longer))
}

// TestPartsOfTwoGenuineDeliveriesMakeNone: neither do the parts of what is signed.
func TestPartsOfTwoGenuineDeliveriesMakeNone(t *testing.T) {
	t.Parallel()
	keys := deliveryKeys(t, "a")
	one, other := genuine(`{"coins":1}`), genuine(`{"coins":9}`)
	entries := entriesOf(t, one, other)
	for _, e := range entries {
		e.sign(keys)
	}
	mixed := []*encoded{
		{head: entries[0].head, body: entries[1].body, mac: entries[0].mac},
		{head: entries[0].head, body: entries[1].body, mac: entries[1].mac},
		{head: entries[1].head, body: entries[1].body, mac: entries[0].mac},
		{head: slices.Concat(entries[0].head, entries[0].body, entries[0].mac, entries[1].head), body: entries[1].body, mac: entries[1].mac},
		{head: slices.Concat(entries[1].head, entries[1].body), body: nil, mac: entries[0].mac},
	}
	for i, e := range mixed {
		for _, got := range (proof{keys: keys}).decode(nil, e.appendTo(nil), 7, time.Now(), 1, nil) {
			if !isRefused(got, one) || got.ID == other.ID {
				t.Errorf("mixture %d is read as %+v", i, got)
			}
		}
	}
	// Both next to a forged one are what they are.
	forged := genuine(`{"coins":1000}`)
	message := slices.Concat(entries[1].appendTo(nil), encodeAll(t, forged), entries[0].appendTo(nil))
	got := proof{keys: keys}.decode(nil, message, 7, time.Now(), 1, nil)
	if len(got) != 3 || got[0].ID != other.ID || got[0].Unproven || !isRefused(got[1], forged) || got[2].ID != one.ID || got[2].Unproven {
		t.Errorf("read as %+v", got)
	}
	if got[1].Malformed != "It has no MAC: no program that has the DELIVERY_KEY has put it into the stream. It gives the id "+forged.ID.String()+"." ||
		got[1].WebhookID != "wh_a" || got[1].Slot != 7 || got[1].Position.Index != 1 {
		t.Errorf("the forged one is read as %+v", got[1])
	}
	other.Slot = 8
	entries[1] = entriesOf(t, other)[0]
	entries[1].sign(keys)
	message = slices.Concat(entries[1].appendTo(nil), entries[0].appendTo(nil))
	only := proof{keys: keys}.decode(nil, message, 7, time.Now(), 1, func(slot int) bool { return slot == one.Slot })
	if len(only) != 1 || only[0].ID != one.ID || only[0].Unproven || only[0].Position.Index != 1 {
		t.Errorf("of one partition: %+v", only)
	}
}

// TestOldMessagesNeedNoMAC: up to the boundary.
func TestOldMessagesNeedNoMAC(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../proto/deliverypb/testdata/batch.hex")
	if err != nil {
		t.Fatal(err)
	}
	old, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	p := proof{keys: deliveryKeys(t, "a"), after: 600}
	for sequence, refused := range map[uint64]bool{1: false, 600: false, 601: true} {
		got := p.decode(nil, old, sequence, time.Now(), 1, nil)
		if len(got) != 2 || got[0].Unproven != refused || got[1].Unproven != refused || (got[0].Malformed != "") != refused {
			t.Errorf("message %d is read as %+v", sequence, got)
		}
	}
}

// TestAKeyVerifiesUntilItIsGone: both keys while a rotation lasts.
func TestAKeyVerifiesUntilItIsGone(t *testing.T) {
	t.Parallel()
	old, both, fresh := deliveryKeys(t, "a"), deliveryKeys(t, "b", "a"), deliveryKeys(t, "b")
	for _, tc := range []struct {
		signs, verifies secret.DeliveryKeys
		refused         bool
	}{
		{old, old, false},
		{old, both, false},
		{both, both, false},
		{both, fresh, false},
		{both, old, true},
		{old, fresh, true},
	} {
		d := genuine("{}")
		got := proof{keys: tc.verifies}.decode(nil, signedAll(t, tc.signs, d), 7, time.Now(), 1, nil)[0]
		if got.Unproven != tc.refused {
			t.Errorf("refused %v, want %v: %s", got.Unproven, tc.refused, got.Malformed)
		}
	}
}

// TestAnOldMessageThatIsStoredAgainIsRefused: its outcome may have been removed.
func TestAnOldMessageThatIsStoredAgainIsRefused(t *testing.T) {
	t.Parallel()
	keys, now := deliveryKeys(t, "a"), time.Now()
	for name, tc := range map[string]struct {
		accepted, requested time.Duration // before now
		copied, refused     bool
	}{
		"at once":                    {0, -1, false, false},
		"by a clock that is ahead":   {-48 * time.Hour, -1, false, false},
		"within a day":               {23 * time.Hour, -1, false, false},
		"later":                      {25 * time.Hour, -1, false, true},
		"a copy":                     {25 * time.Hour, -1, true, false},
		"a replay":                   {1000 * time.Hour, 0, false, false},
		"a replay of a copy":         {1000 * time.Hour, 0, true, false},
		"a replay again":             {1000 * time.Hour, 25 * time.Hour, false, true},
		"a replay of a copy, again":  {1000 * time.Hour, 25 * time.Hour, true, true},
		"a replay from clocks apart": {time.Hour, 23 * time.Hour, false, false},
	} {
		d := genuine("{}")
		d.ReceivedAt = now.Add(-tc.accepted)
		if tc.requested >= 0 {
			d.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedAt: now.Add(-tc.requested)}
		}
		if tc.copied {
			d.First = &delivery.Place{Incarnation: "x", StoredAt: d.ReceivedAt}
		}
		got := proof{keys: keys}.decode(nil, signedAll(t, keys, d), 7, now, 1, nil)[0]
		if got.Unproven != tc.refused || strings.Contains(got.Malformed, "old message") != tc.refused {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// TestANewerFormatIsSignedToo: a delivery of ours that is said to be newer would wait
// for ever, and all of its webhook behind it.
func TestANewerFormatIsSignedToo(t *testing.T) {
	t.Parallel()
	keys, d := deliveryKeys(t, "a"), genuine("{}")
	newer := nats.Header{formatHeader: {"99"}}
	var e encoded
	if err := e.encode(&d); err != nil {
		t.Fatal(err)
	}
	e.sign(keys)
	if got := (proof{keys: keys}).decode(newer, e.appendTo(nil), 7, time.Now(), 1, nil)[0]; !isRefused(got, d) {
		t.Errorf("ours, said to be newer: %+v", got)
	}
	// A newer version has a field that this one does not know.
	e.head = append(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1), e.head...)
	e.mac = keys.Sign(append([]byte{}, macField...), deliveryDomain, []byte("99\x00"), e.head, e.body)
	if got := (proof{keys: keys}).decode(newer, e.appendTo(nil), 7, time.Now(), 1, nil)[0]; !got.Newer || got.Unproven || got.ID != d.ID {
		t.Errorf("a newer one: %+v", got)
	}
	if got := (proof{keys: keys}).decode(nil, e.appendTo(nil), 7, time.Now(), 1, nil)[0]; !isRefused(got, d) {
		t.Errorf("a newer one, said to be ours: %+v", got)
	}
}

// TestMACsOfDeliveriesNeverChange: messages in streams have them.
func TestMACsOfDeliveriesNeverChange(t *testing.T) {
	t.Parallel()
	d := delivery.Delivery{ID: delivery.ID{15: 1}, WebhookID: "wh_a", ReceivedAt: time.UnixMicro(1767225660000001), Slot: 7, Body: []byte("{}")}
	const want = "0a390a1000000000000000000000000000000001120477685f6120818ecfcd84e99103480732027b7d5210f827eb21a78f5db06a2d1805f3db4a71"
	if got := hex.EncodeToString(signedAll(t, deliveryKeys(t, "a"), d)); got != want {
		t.Errorf("signed as\n%s, want\n%s", got, want)
	}
}

func TestTheBoundaryIsSigned(t *testing.T) {
	t.Parallel()
	keys := deliveryKeys(t, "a")
	text := signBoundary(keys, "one", 600)
	_, mac, _ := strings.Cut(text, ".")
	for name, tc := range map[string]struct {
		keys              secret.DeliveryKeys
		incarnation, text string
		ok                bool
	}{
		"as it is":                  {keys, "one", text, true},
		"the key signs no more":     {deliveryKeys(t, "b", "a"), "one", text, true},
		"the key is gone":           {deliveryKeys(t, "b"), "one", text, false},
		"of another stream":         {keys, "two", text, false},
		"moved":                     {keys, "one", "6000." + mac, false},
		"without a MAC":             {keys, "one", "600", false},
		"there is none":             {keys, "one", "", false},
		"no number":                 {keys, "one", "x." + mac, false},
		"no base64":                 {keys, "one", "600.!", false},
		"by somebody without a key": {secret.DeliveryKeys{}, "one", text, false},
	} {
		got, ok := boundaryOf(tc.keys, map[string]string{incarnationKey: tc.incarnation, boundaryKey: tc.text})
		if ok != tc.ok || ok && got != 600 || !ok && got != 0 {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
}

func BenchmarkProof(b *testing.B) {
	d := genuine(strings.Repeat("x", 400))
	d.Headers = []delivery.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "shop/1.0 (+https://shop.example)"}}
	for name, keys := range map[string]secret.DeliveryKeys{"without": {}, "with": deliveryKeys(b, "a")} {
		b.Run("encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			var e encoded
			for b.Loop() {
				if err := e.encode(&d); err != nil {
					b.Fatal(err)
				}
				if !keys.IsZero() {
					e.sign(keys)
				}
			}
		})
		b.Run("decode_64/"+name, func(b *testing.B) {
			b.ReportAllocs()
			message := slices.Repeat(encodeAll(b, d), 64)
			if !keys.IsZero() {
				message = slices.Repeat(signedAll(b, keys, d), 64)
			}
			for b.Loop() {
				if got := (proof{keys: keys}).decode(nil, message, 7, d.ReceivedAt, 1, nil); got[63].Unproven {
					b.Fatal(got[63].Malformed)
				}
			}
		})
	}
}

// TestAMessageHasTheFormatThatOneOfItsDeliveriesNeeds: a request by GET would be read
// without its query by an older version. The deliveries that travel with it are signed
// for that format, and for their own once they travel without it.
func TestAMessageHasTheFormatThatOneOfItsDeliveriesNeeds(t *testing.T) {
	t.Parallel()
	keys, now := deliveryKeys(t, "a"), time.Now()
	p := &Publisher{conn: &Conn{deliveryKeys: keys}}
	post, get, put := genuine("{}"), genuine(""), genuine("{}")
	get.Method, get.Query, put.Method = "GET", "user=ann&coins=5", "PUT"
	entries := entriesOf(t, post, get, put)
	for _, e := range entries {
		e.sign(keys)
	}
	for _, c := range []struct {
		batch  []*entry
		format string
		want   []delivery.Delivery
	}{
		{entries, "2", []delivery.Delivery{post, get, put}},
		{entries[:1], "", []delivery.Delivery{post}},
		{entries[1:2], "2", []delivery.Delivery{get}},
		{entries[2:], "2", []delivery.Delivery{put}},
	} {
		msg, _ := p.message(c.batch)
		if got := msg.Header.Get(formatHeader); got != c.format {
			t.Errorf("format %q, want %q", got, c.format)
		}
		got := proof{keys: keys}.decode(msg.Header, msg.Data, 7, now, 1, nil)
		if len(got) != len(c.want) {
			t.Fatalf("read as %+v", got)
		}
		for i, want := range c.want {
			if g := got[i]; g.Newer || g.Malformed != "" || g.ID != want.ID || g.Method != want.Method || g.Query != want.Query {
				t.Errorf("format %q: read as %+v, want %+v", c.format, g, want)
			}
		}
		msg.Header.Del(formatHeader)
		if got := (proof{keys: keys}).decode(msg.Header, msg.Data, 7, now, 1, nil); c.format != "" && !got[0].Unproven {
			t.Errorf("said to be of an older format: %+v", got[0])
		}
	}
}
