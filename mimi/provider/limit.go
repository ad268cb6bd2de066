package provider

import (
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Limits bound what peers can make a [Server] do at a time. Zero fields take the
// values of [DefaultLimits].
type Limits struct {
	// PerPeer is the most requests of one peer under way.
	PerPeer int
	// Total is the most requests of all peers under way.
	Total int
	// Connections is the most TCP connections; further ones wait to be accepted.
	Connections int
	// BodyBytes is the most octets of request bodies in memory.
	BodyBytes int64
	// RequestTime is how long a service may work on a request.
	RequestTime time.Duration
	// AnswerStep divides the time after which an answer is given, where that time would
	// tell a peer whether there is such a person.
	AnswerStep time.Duration
	// ReadTime is how long a peer may take to send a request.
	ReadTime time.Duration
	// ShutdownTime is how long requests under way may take when the server ends.
	ShutdownTime time.Duration
}

// DefaultLimits returns limits for a small machine.
func DefaultLimits() Limits {
	return Limits{
		PerPeer:      16,
		Total:        128,
		Connections:  512,
		BodyBytes:    256 << 20,
		RequestTime:  30 * time.Second,
		AnswerStep:   100 * time.Millisecond,
		ReadTime:     60 * time.Second,
		ShutdownTime: 4 * time.Second,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	orDefault(&l.PerPeer, d.PerPeer)
	orDefault(&l.Total, d.Total)
	orDefault(&l.Connections, d.Connections)
	orDefault(&l.BodyBytes, d.BodyBytes)
	orDefault(&l.RequestTime, d.RequestTime)
	orDefault(&l.AnswerStep, d.AnswerStep)
	orDefault(&l.ReadTime, d.ReadTime)
	orDefault(&l.ShutdownTime, d.ShutdownTime)
	return l
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// A gate counts requests and octets that are under way.
type gate struct {
	limits Limits

	mu    sync.Mutex
	total int            // guarded by mu
	peers map[string]int // guarded by mu; no zero entries
	bytes int64          // guarded by mu
}

func newGate(l Limits) *gate { return &gate{limits: l, peers: map[string]int{}} }

// enter lets a request of peer in, or fails with a *protocol.RetryLaterError.
func (g *gate) enter(peer string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peers[peer] >= g.limits.PerPeer {
		return nil, &protocol.RetryLaterError{After: time.Second, Limited: true}
	}
	if g.total >= g.limits.Total {
		return nil, &protocol.RetryLaterError{After: time.Second}
	}
	g.total++
	g.peers[peer]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.total--
		if g.peers[peer]--; g.peers[peer] == 0 {
			delete(g.peers, peer)
		}
	}, nil
}

// reserve sets n octets aside for a body, or fails with a
// *protocol.RetryLaterError.
func (g *gate) reserve(n int64) (release func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bytes+n > g.limits.BodyBytes {
		return nil, &protocol.RetryLaterError{After: time.Second}
	}
	g.bytes += n
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.bytes -= n
	}, nil
}

// A Rate is a token bucket: Burst requests at once, and one more each Every.
type Rate struct {
	Every time.Duration
	Burst int
}

// DefaultRates returns rates for each peer that people do not notice, and that
// make it slow to try out names or to use up key material.
func DefaultRates() map[protocol.Endpoint]Rate {
	return map[protocol.Endpoint]Rate{
		protocol.EndpointRequestConsent:       {Every: 2 * time.Second, Burst: 60},
		protocol.EndpointUpdateConsent:        {Every: 2 * time.Second, Burst: 60},
		protocol.EndpointConnectionPackage:    {Every: 2 * time.Second, Burst: 60},
		protocol.EndpointConnectionRequest:    {Every: 2 * time.Second, Burst: 60},
		protocol.EndpointKeyMaterial:          {Every: time.Second, Burst: 60},
		protocol.EndpointKeyMaterialAnonymous: {Every: 500 * time.Millisecond, Burst: 120},
		protocol.EndpointJoinCode:             {Every: time.Second, Burst: 60},
		protocol.EndpointGroupInfo:            {Every: 100 * time.Millisecond, Burst: 300},
	}
}

// maxBuckets bounds the memory of [TokenBuckets]. Only authenticated peers have
// buckets.
const maxBuckets = 1 << 14

// TokenBuckets is a [Limiter] with one bucket for each peer and endpoint that has
// a rate. Endpoints without a rate are not limited.
type TokenBuckets struct {
	clock mimi.Clock
	rates map[protocol.Endpoint]Rate

	mu      sync.Mutex
	buckets map[bucketKey]bucket // guarded by mu
}

type bucketKey struct {
	peer     string
	endpoint protocol.Endpoint
}

// A bucket is kept as the time at which it will be full again.
type bucket struct{ full time.Time }

// NewTokenBuckets returns a limiter with those rates, whose Every and Burst must be
// positive.
func NewTokenBuckets(clock mimi.Clock, rates map[protocol.Endpoint]Rate) *TokenBuckets {
	return &TokenBuckets{clock: clock, rates: rates, buckets: map[bucketKey]bucket{}}
}

// Allow implements [Limiter].
func (t *TokenBuckets) Allow(peer string, e protocol.Endpoint) (wait time.Duration, ok bool) {
	rate, limited := t.rates[e]
	if !limited {
		return 0, true
	}
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	key := bucketKey{peer, e}
	full := t.buckets[key].full
	if full.Before(now) {
		full = now
	}
	full = full.Add(rate.Every)
	if over := full.Sub(now) - time.Duration(rate.Burst)*rate.Every; over > 0 {
		return over, false
	}
	if len(t.buckets) >= maxBuckets {
		t.sweep(now)
	}
	t.buckets[key] = bucket{full}
	return 0, true
}

// sweep forgets full buckets, and all if none is full: a peer that fills the
// table gains one burst by it.
func (t *TokenBuckets) sweep(now time.Time) {
	for key, b := range t.buckets {
		if !b.full.After(now) {
			delete(t.buckets, key)
		}
	}
	if len(t.buckets) >= maxBuckets {
		clear(t.buckets)
	}
}
