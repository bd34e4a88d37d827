package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// pollEvery is how often conditions outside this process are polled.
const pollEvery = 20 * time.Millisecond

// pauseAtMost bounds the pause after a condition that took long to check.
const pauseAtMost = 500 * time.Millisecond

// Await calls condition until it returns nil or ctx ends; then the error is
// the condition's last one. It pauses three times as long as the condition took: a check
// that starts a program leaves most of the time to the programs it waits for.
func Await(ctx context.Context, condition func(context.Context) error) error {
	for {
		began := time.Now()
		err := condition(ctx)
		if err == nil {
			return nil
		}
		pause := time.NewTimer(min(max(pollEvery, 3*time.Since(began)), pauseAtMost))
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// InParallel runs the functions at the same time and joins their errors.
func InParallel(functions ...func() error) error {
	errs := make([]error, len(functions))
	var wg sync.WaitGroup
	for i, f := range functions {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// probeWithin bounds one look at whether a server is ready.
const probeWithin = 2 * time.Second

// ProbeHTTP reports whether a server answers 200.
func ProbeHTTP(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true // a connection that is kept says nothing of the next process
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status decides
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, bytes.TrimSpace(body))
	}
	return nil
}
