package linkbench

import (
	"crypto/rand"
	"syscall"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// cpuTime is what this process has used, in all threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("internal error: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A floor is what opening one identity link needs by docs/mmr-profile.md, sections 2
// and 3, and nothing else.
type floor struct {
	verify, open, unwrap, expand time.Duration
}

// total is the CPU time of one link: two signatures, of the client and of its identity
// CA; the link's ciphertext, and that of its key; and the keys of both with the
// commitment.
func (f floor) total() time.Duration { return 2*f.verify + f.open + f.unwrap + 3*f.expand }

// measureFloor takes the lowest of several times for each primitive.
func measureFloor(s *suite.Suite) (f floor, err error) {
	key, err := s.GenerateSignatureKey(rand.Reader)
	if err != nil {
		return f, err
	}
	content := make([]byte, 300) // about a certificate, and a credential's TBS
	signature, err := s.SignWithLabel(key, "MGP1 bench", content)
	if err != nil {
		return f, err
	}
	secret := suite.NewSecret(make([]byte, s.Nh()))
	aead, nonce := s.ExpandWithLabel(secret, "key", nil, s.Nk()), make([]byte, s.Nn())
	link, err := s.Seal(aead, nonce, content, make([]byte, 1024))
	if err != nil {
		return f, err
	}
	wrapped, err := s.Seal(aead, nonce, content, make([]byte, s.Nh()))
	if err != nil {
		return f, err
	}
	for _, p := range []struct {
		to *time.Duration
		do func() error
	}{
		{&f.verify, func() error { return s.VerifyWithLabel(key.Public(), "MGP1 bench", content, signature) }},
		{&f.open, func() error { _, err := s.Open(aead, nonce, content, link); return err }},
		{&f.unwrap, func() error { _, err := s.Open(aead, nonce, content, wrapped); return err }},
		{&f.expand, func() error { s.ExpandWithLabel(secret, "key", nil, s.Nk()); return nil }},
	} {
		if *p.to, err = lowest(p.do); err != nil {
			return f, err
		}
	}
	return f, nil
}

// lowest is the lowest average of some runs of an operation, in CPU time.
func lowest(do func() error) (best time.Duration, err error) {
	const runs, times = 7, 200
	for i := range runs {
		before := cpuTime()
		for range times {
			if err := do(); err != nil {
				return 0, err
			}
		}
		if d := (cpuTime() - before) / times; i == 0 || d < best {
			best = d
		}
	}
	return best, nil
}
