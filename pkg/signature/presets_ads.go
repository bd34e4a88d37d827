package signature

// ads are the networks that reward a person for watching.
func ads() []Preset { return []Preset{levelPlay()} }

// levelPlay has no tolerance: its timestamp has no time zone, and it sends an event
// again for eight days. The event's id is signed, so that one pays once.
func levelPlay() Preset {
	return Preset{
		Name: "levelplay", Title: "Unity LevelPlay (ironSource)", About: "rewarded videos",
		Spec: Spec{
			Algorithm: MD5, From: Place{Query: "signature"}, Encoding: Hex,
			Signed: "{query.timestamp}{query.eventId}{query.appUserId}{query.rewards}{secret}",
		},
		Receive: Receive{
			Methods: []string{"GET"}, Payload: "query",
			Answer: &Answer{Status: 200, ContentType: "text/plain", Body: "{query.eventId}:OK"},
		},
		Key:    Key{Paths: []string{"eventId"}},
		Secret: SecretHint{Name: "private key", Example: "a text that you choose", Chosen: true},
		Setup: []string{
			"In LevelPlay open Apps, the menu of your app, Set S2S callback.",
			"As the callback URL enter this webhook's URL, followed by ?appUserId=[USER_ID]&rewards=[REWARDS]&eventId=[EVENT_ID] with exactly these names. LevelPlay adds timestamp and signature.",
			"Type a long random private key, and set the same one here.",
			"Test the callback there, then save it. It counts as received because this webhook answers EVENT_ID:OK.",
		},
		Docs: "https://docs.unity.com/en-us/grow/levelplay/platform/settings/event-handlers",
	}
}
