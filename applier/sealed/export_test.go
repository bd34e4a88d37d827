package sealed

import "encoding/json"

// Open decrypts a body that is JSON.
func Open(body []byte, keys ...Key) ([]byte, error) { return openAs(json.Valid, body, keys) }
