package process

import (
	"context"
	"fmt"
	"net"
)

// FreePorts returns ports of loopback that nobody listened on a moment ago.
// They are found together, so that they differ.
func FreePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("listener has the address %v", l.Addr())
		}
		ports = append(ports, addr.Port)
	}
	return ports, nil
}
