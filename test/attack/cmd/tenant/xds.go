package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

const (
	typeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	typeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	typeRoute    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

	// tokenFile is where the pod has a token for the control plane.
	tokenFile = "/var/run/tenant/token"
)

type deltaStream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

func dialXDS(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
}

func open(ctx context.Context, conn *grpc.ClientConn, token string) (deltaStream, error) {
	return discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
}

// held is what a stream does with its requests before it only reads.
var held = map[string]func(deltaStream) error{
	// subscriptions to as many long names as a request holds, again and again
	"names": func(s deltaStream) error {
		for i := 0; ; i++ {
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, ResourceNamesSubscribe: longNames(i, 800)}); err != nil {
				return err
			}
		}
	},
	// one name of megabytes
	"name": func(s deltaStream) error {
		return s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, ResourceNamesSubscribe: []string{strings.Repeat("n", 3_900_000)}})
	},
	// a stream like a sidecar's that does not acknowledge
	"streams": func(s deltaStream) error {
		for _, t := range []string{typeCluster, typeListener, typeRoute} {
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: t}); err != nil {
				return err
			}
		}
		return nil
	},
	// versions of resources that no server has sent
	"versions": func(s deltaStream) error {
		for i, t := range []string{typeCluster, typeListener, typeRoute} {
			versions := map[string]string{}
			for _, name := range longNames(i, 780) {
				versions[name] = "1"
			}
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: t, InitialResourceVersions: versions}); err != nil {
				return err
			}
		}
		return nil
	},
	// small requests that make the server look at many names
	"churn": func(s deltaStream) error {
		for i := range 12 {
			if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, ResourceNamesSubscribe: shortNames(i, 800)}); err != nil {
				return err
			}
		}
		for i := 0; ; i++ {
			r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, ResourceNamesSubscribe: shortNames(i, 1), ResourceNamesUnsubscribe: shortNames(i-1, 1)}
			if err := s.Send(r); err != nil {
				return err
			}
		}
	},
}

func longNames(from, n int) []string {
	out := make([]string, n)
	for i := range out {
		name := fmt.Sprintf("outbound|80||%d.%d.", from, i)
		out[i] = name + strings.Repeat("x", 290-len(name))
	}
	return out
}

func shortNames(from, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("outbound|80||%d.%d.test", from, i)
	}
	return out
}

// streams holds as many streams as it gets, of a kind, with the pod's own token.
func streams(args []string) error {
	kind, targets := args[0], args[1:]
	send := held[kind]
	if send == nil {
		return fmt.Errorf("no kind %q of streams", kind)
	}
	text, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	count := counting("streams "+kind, "opened", "ended", "failed")
	workers(400, func(i int) {
		conn, err := dialXDS(targets[i%len(targets)])
		if err != nil {
			count.failed("failed", err)
			return
		}
		defer func() { _ = conn.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s, err := open(ctx, conn, string(text))
		if err != nil {
			count.failed("failed", err)
			time.Sleep(10 * time.Millisecond)
			return
		}
		count.add("opened")
		go func() { _ = send(s) }()
		for err == nil {
			_, err = s.Recv()
		}
		count.failed("ended", err)
	})
	return nil
}

// junk are tokens that are not valid, by kind.
var junk = map[string]func() string{
	"text":   func() string { return "junk" + random(8) },
	"dots":   func() string { return random(20) + "." + random(200) + "." + random(40) },
	"long":   func() string { return random(3000) },
	"forged": func() string { return forged("https://kubernetes.default.svc.cluster.local") },
	"alien":  func() string { return forged("https://elsewhere.example.com/" + random(4)) },
}

// forged is a token with all that a valid one has but its signature; each has another
// key.
func forged(issuer string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	now := time.Now().Unix()
	return part(`{"alg":"RS256","kid":"`+random(8)+`"}`) + "." + part(fmt.Sprintf(
		`{"aud":["outrider"],"iss":%q,"exp":%d,"iat":%d,"nbf":%d,"sub":"system:serviceaccount:bank:default","kubernetes.io":{"namespace":"bank","serviceaccount":{"name":"default"}}}`,
		issuer, now+3600, now, now)) + "." + part(random(128))
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// tokens opens streams with tokens of a kind, or of all kinds, as fast as it can.
func tokens(args []string) error {
	kind, targets := args[0], args[1:]
	var kinds []func() string
	for name, f := range junk {
		if kind == "all" || kind == name {
			kinds = append(kinds, f)
		}
	}
	if len(kinds) == 0 {
		return fmt.Errorf("no kind %q of tokens", kind)
	}
	count := counting("tokens "+kind, "rejected")
	var conns []*grpc.ClientConn
	for i := range 16 {
		conn, err := dialXDS(targets[i%len(targets)])
		if err != nil {
			return err
		}
		conns = append(conns, conn)
	}
	workers(128, func(i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		which, _ := rand.Int(rand.Reader, big.NewInt(int64(len(kinds))))
		s, err := open(ctx, conns[i%len(conns)], kinds[which.Int64()]())
		if err == nil {
			_, err = s.Recv()
		}
		if err != nil {
			count.failed("rejected", err)
		}
	})
	return nil
}
