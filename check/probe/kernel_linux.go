package probe

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/outrider-mesh/outrider/redirect/kernel"
)

// Kernel is the abstract Unix socket of the reader.
const Kernel = "@outrider-check-kernel"

// ReadKernel answers each connection to the socket with the counters, until the context ends.
func ReadKernel(ctx context.Context) error {
	listener, err := net.Listen("unix", Kernel)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(readTimeout))
		var answer counted
		if answer.Counters, err = kernel.Counters(); err != nil {
			answer.Error = err.Error()
		}
		_ = json.NewEncoder(conn).Encode(answer)
		_ = conn.Close()
	}
}
