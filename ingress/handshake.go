package ingress

import (
	"encoding/json"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// Some senders ask a URL whether it wants their events, before they send any. The ingress
// answers only where the definition names the sender, and stores nothing.

const (
	// maxHandshake bounds a body that is parsed: a handshake has some hundred bytes.
	maxHandshake = 64 << 10
	// maxChallenge bounds what is said back.
	maxChallenge = 1 << 10

	oktaHeader = "X-Okta-Verification-Challenge"
)

// greeting is the answer to a handshake that is in the head alone; nil if the request
// is none. Such a handshake carries no proof of its sender: no check of `auth` but that
// of the address is made. It says back what it was told, and nothing else.
func greeting(challenge webhook.Challenge, head Head) *Answer {
	if head.Method != http.MethodGet {
		return nil
	}
	switch challenge {
	case webhook.ChallengeMeta:
		query, err := url.ParseQuery(head.Query)
		if text := query.Get("hub.challenge"); err == nil && query.Get("hub.mode") == "subscribe" && isChallenge(text) {
			return plain(text)
		}
	case webhook.ChallengeOkta:
		if text := head.Header.Get(oktaHeader); isChallenge(text) {
			return document(map[string]string{"verification": text})
		}
	}
	return nil
}

// IsGreeting reports whether a request is a handshake that its head shows.
func IsGreeting(intake *webhook.Intake, head Head) bool {
	return intake.Challenge != "" && greeting(intake.Challenge, head) != nil
}

// message is what the handshakes have that are in a body.
type message struct {
	ID        string          `json:"id"`
	Type      json.RawMessage `json:"type"`
	Challenge string          `json:"challenge"`
	Event     json.RawMessage `json:"event"`
}

// handshake is the answer to a handshake that is in a body; nil if the request is none.
// The request has passed all checks.
func handshake(challenge webhook.Challenge, header http.Header, body []byte) *Answer {
	if challenge == "" || len(body) > maxHandshake {
		return nil
	}
	if challenge == webhook.ChallengeTwitch && header.Get("Twitch-Eventsub-Message-Type") != "webhook_callback_verification" {
		return nil
	}
	var m message
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	kind := string(m.Type)
	switch {
	case challenge == webhook.ChallengeSlack && kind == `"url_verification"` && isChallenge(m.Challenge),
		challenge == webhook.ChallengeTwitch && isChallenge(m.Challenge):
		return plain(m.Challenge)
	case challenge == webhook.ChallengeTebex && kind == `"validation.webhook"` && isChallenge(m.ID):
		return document(map[string]string{"id": m.ID})
	case challenge == webhook.ChallengeDiscord && kind == "0":
		return &Answer{Status: http.StatusNoContent} // of webhook events
	case challenge == webhook.ChallengeDiscord && kind == "1" && len(m.Event) == 0:
		return document(map[string]int{"type": 1}) // of interactions; an event has the type 1, too
	}
	return nil
}

func isChallenge(text string) bool {
	return text != "" && len(text) <= maxChallenge && utf8.ValidString(text)
}

func plain(text string) *Answer {
	return &Answer{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}

func document(v any) *Answer {
	body, err := json.Marshal(v)
	if err != nil {
		return nil // maps of strings and numbers always marshal
	}
	return &Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}
}
