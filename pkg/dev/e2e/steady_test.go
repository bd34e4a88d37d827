package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// steadily sends so many requests a second while meanwhile runs, each once, to the
// address that url says for its number. It returns how those ended that were not
// accepted.
func (l *load) steadily(t *testing.T, url func(n int) string, perSecond int, meanwhile func()) (failed []string) {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	numbers := make(chan int, 60*perSecond)
	ctx, stop := context.WithCancel(t.Context())
	var ticking, working sync.WaitGroup
	ticking.Go(func() { number(ctx, numbers, perSecond) })
	var mu sync.Mutex
	for range senders {
		working.Go(func() {
			for n := range numbers {
				if err := l.sendOnce(client, url(n), n); err != nil {
					mu.Lock()
					failed = append(failed, time.Now().Format("05.000 ")+err.Error())
					mu.Unlock()
				}
			}
		})
	}
	began := time.Now()
	meanwhile()
	stop()
	ticking.Wait()
	working.Wait()
	l.deliveries = int(l.accepted.Load())
	t.Logf("%d requests in %s, %.0f/s, %d failed", len(l.sent), time.Since(began).Round(time.Second),
		float64(len(l.sent))/time.Since(began).Seconds(), len(failed))
	return failed
}

// number counts up at a steady rate until ctx is done.
func number(ctx context.Context, numbers chan<- int, perSecond int) {
	defer close(numbers)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for n, began := 0, time.Now(); ; {
		for due := int(time.Since(began).Seconds() * float64(perSecond)); n < due; n++ {
			numbers <- n
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sendOnce makes the n-th request. No answer but 202 will do.
func (l *load) sendOnce(client *http.Client, url string, n int) error {
	r := &request{user: n % l.users, amount: int64(n%9 + 1)}
	body := fmt.Sprintf(`{"user":%q,"amount":%d,"ref":"%d"}`, userName(r.user), r.amount, n)
	l.mu.Lock()
	l.sent[body] = r
	l.mu.Unlock()
	req, err := http.NewRequest(http.MethodPost, url+"/hooks/"+l.add.ID, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.GetBody = nil // else the client sends again by itself
	req.Header.Set("X-Api-Key", l.add.APIKey)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var got receipt
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal(text, &got) != nil {
		return fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	r.id = got.ID
	l.accepted.Add(1)
	return nil
}
