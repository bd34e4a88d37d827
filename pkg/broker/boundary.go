package broker

import (
	"context"
	"encoding/base64"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

// boundaryKey is where the stream's metadata has the boundary: a sequence and its MAC,
// so that who may change the stream without having the key cannot move it.
const boundaryKey = "coinhook_signed_after"

func signBoundary(keys secret.DeliveryKeys, incarnation string, sequence uint64) string {
	text := strconv.FormatUint(sequence, 10)
	mac := keys.Sign(nil, boundaryDomain, []byte(incarnation), []byte{0}, []byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac)
}

// boundaryOf returns the boundary in a stream's metadata; ok is false where there is
// none that one of the keys has signed.
func boundaryOf(keys secret.DeliveryKeys, metadata map[string]string) (sequence uint64, ok bool) {
	text, mac, _ := strings.Cut(metadata[boundaryKey], ".")
	sequence, err := strconv.ParseUint(text, 10, 64)
	sum, err2 := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || err2 != nil || !keys.Verify(sum, boundaryDomain, []byte(metadata[incarnationKey]), []byte{0}, []byte(text)) {
		return 0, false
	}
	return sequence, true
}

// freshMetadata is that of a stream that is made now. It has an incarnation of its own,
// by which a stream that was deleted and made again is told from the one before.
func (c *Conn) freshMetadata(spec streamSpec) map[string]string {
	incarnation := delivery.NewID().String()
	metadata := map[string]string{incarnationKey: incarnation}
	if spec.name == deliveriesStream && !c.deliveryKeys.IsZero() {
		metadata[boundaryKey] = signBoundary(c.deliveryKeys, incarnation, 0)
	}
	return metadata
}

// needsBoundary reports whether a setup has to draw the boundary: there are keys now, or
// the key that signed it is gone.
func (c *Conn) needsBoundary(spec streamSpec, info jetstream.StreamInfo) bool {
	if spec.name != deliveriesStream || c.deliveryKeys.IsZero() {
		return false
	}
	_, ok := boundaryOf(c.deliveryKeys, info.Config.Metadata)
	return !ok
}

// moveBoundary draws it behind all that is in the stream now.
func (c *Conn) moveBoundary(ctx context.Context, cfg *jetstream.StreamConfig) error {
	info, err := c.streamInfo(ctx, cfg.Name)
	if err != nil {
		return noLeader(err)
	}
	last := uint64(0)
	if info != nil {
		last = info.State.LastSeq
	}
	cfg.Metadata = maps.Clone(cfg.Metadata)
	if cfg.Metadata == nil {
		cfg.Metadata = map[string]string{}
	}
	cfg.Metadata[boundaryKey] = signBoundary(c.deliveryKeys, cfg.Metadata[incarnationKey], last)
	return nil
}
