package check

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/outrider-mesh/outrider/lifecycle"
)

func proxyCertificate(f *Facts, out *findings) {
	a := f.admin(out)
	if a == nil {
		return
	}
	restart := fmt.Sprintf("kubectl -n %s get configmap %s -o yaml", f.Sidecar.Pod.Namespace, f.Name(lifecycle.CABundle))
	var have, valid []string
	last := time.Time{}
	for _, c := range a.Certificates {
		have = append(have, serial(c.Serial))
		if c.Expires.After(a.Time) {
			valid = append(valid, serial(c.Serial))
			if c.Expires.After(last) {
				last = c.Expires
			}
		}
	}
	switch {
	case len(have) == 0:
		out.fail("The sidecar has no CA certificate, with which it verifies the control plane.", "see whether the ConfigMap exists; the webhook's leader writes it; then create the pod again", restart)
		return
	case len(valid) == 0:
		out.fail("All CA certificates of the sidecar have expired.", "see whether the ConfigMap has a newer one, which the kubelet brings into the pod within two minutes", restart)
		return
	}
	for _, want := range serials(f.Sidecar.Trusted) {
		if !slices.Contains(have, want) {
			out.warn(fmt.Sprintf("ConfigMap %s/%s has a CA certificate that the sidecar does not have yet.", f.Sidecar.Pod.Namespace, f.Name(lifecycle.CABundle)),
				"the kubelet brings it into the pod within two minutes; if it does not, create the pod again", restart)
			out.detail("serial number " + want)
		}
	}
	if len(out.results) == 0 {
		out.pass(fmt.Sprintf("The sidecar has %d CA certificates of the control plane, the last of which expires on %s.", len(valid), last.Format(time.DateOnly)))
	}
}

// serials are the serial numbers of certificates in PEM.
func serials(text string) (out []string) {
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, serial(c.SerialNumber.Text(16)))
		}
	}
}

// serial is a serial number as both sides have it.
func serial(hex string) string { return strings.TrimLeft(strings.ToLower(hex), "0") }

func proxyClock(f *Facts, out *findings) {
	a := f.admin(out)
	switch {
	case a == nil:
	case a.Time.IsZero() || f.ServerTime.IsZero():
		out.skip("The time of the node, or of the API server, is unknown.")
	default:
		// Both times are taken by this machine's clock.
		d := a.Time.Sub(a.Now) - f.ServerTime.Sub(f.Now)
		if d.Abs() > maxSkew {
			out.fail(fmt.Sprintf("The clock of node %s differs from the API server's by %s.", f.Sidecar.Pod.Spec.NodeName, d.Round(time.Second)), "synchronize the clock of the node (chrony, systemd-timesyncd)")
			return
		}
		out.pass(fmt.Sprintf("The clock of node %s agrees with the API server's.", f.Sidecar.Pod.Spec.NodeName))
	}
}
