package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/outrider-mesh/outrider/test/kit"
)

// othersHosts: one namespace declares hosts that the neighbor has declared, and Services
// of others, and routes their requests to its own server: redirected, mirrored,
// rewritten, failed. None of the neighbor's requests arrives there, and all have the
// response of the real host.
func othersHosts(t *testing.T, b *battery) {
	const ns = "thief"
	b.namespace(t, ns, false)
	ip := b.sink(t, ns)
	const inCluster = "httpbin.servers.svc.cluster.local"
	kit.Must(t, b.object(entries, ns, "own", fmt.Sprintf(`{"hosts":["own.example.net"],"location":"MESH_EXTERNAL","resolution":"STATIC",
		"ports":[{"number":80,"name":"http","protocol":"HTTP","targetPort":8099}],"endpoints":[{"address":%q}]}`, ip)))
	entry := func(host, more string) string {
		return fmt.Sprintf(`{"hosts":[%q],"location":"MESH_EXTERNAL","resolution":"STATIC",%s
			"ports":[{"number":80,"name":"http","protocol":"HTTP","targetPort":8099}],"endpoints":[{"address":%q}]}`, host, more, ip)
	}
	route := func(host, rule string) string { return fmt.Sprintf(`{"hosts":[%q],"http":[{%s}]}`, host, rule) }
	const own, real = `"route":[{"destination":{"host":"own.example.net"}}]`, `"route":[{"destination":{"host":"httpbin.org"}}]`
	for name, o := range map[string]struct {
		kind schema.GroupVersionResource
		spec string
	}{
		"an entry for the host":                 {entries, entry("httpbin.org", "")},
		"an entry for the host, exported":       {entries, entry("httpbin.org", `"exportTo":["*"],`)},
		"an entry for the host in capitals":     {entries, entry("HTTPBIN.org", "")},
		"a wildcard":                            {entries, entry("*.org", "")},
		"every host":                            {entries, entry("*", "")},
		"an entry with the host's address":      {entries, entry("mine.example.net", `"addresses":["203.0.113.10"],`)},
		"an entry with a range of it":           {entries, entry("mine.example.net", `"addresses":["203.0.113.0/24"],`)},
		"an entry for the Service":              {entries, entry(inCluster, "")},
		"an entry for the Service's short name": {entries, entry("httpbin.servers", "")},
		"TCP without addresses":                 {entries, fmt.Sprintf(`{"hosts":["tcp.example.net"],"location":"MESH_EXTERNAL","resolution":"STATIC","ports":[{"number":80,"name":"tcp","protocol":"TCP","targetPort":8099},{"number":443,"name":"tcp2","protocol":"TCP","targetPort":8099}],"endpoints":[{"address":%q}]}`, ip)},
		"TCP with the Service's port":           {entries, fmt.Sprintf(`{"hosts":["tcp.example.net"],"location":"MESH_EXTERNAL","resolution":"STATIC","ports":[{"number":8000,"name":"tcp","protocol":"TCP","targetPort":8099}],"endpoints":[{"address":%q}]}`, ip)},
		"a route":                               {services, route("httpbin.org", own)},
		"a route, exported":                     {services, `{"exportTo":["*"],` + route("httpbin.org", own)[1:]},
		"a route of two hosts":                  {services, `{"hosts":["own.example.net","httpbin.org"],"http":[{` + own + `}]}`},
		"a route of a wildcard":                 {services, route("*.org", own)},
		"a route of every host":                 {services, route("*", own)},
		"a mirror":                              {services, route("httpbin.org", real+`,"mirror":{"host":"own.example.net"},"mirrorPercentage":{"value":100}`)},
		"mirrors":                               {services, route("httpbin.org", real+`,"mirrors":[{"destination":{"host":"own.example.net"}}]`)},
		"a redirect":                            {services, route("httpbin.org", `"redirect":{"authority":"own.example.net"}`)},
		"a direct response":                     {services, route("httpbin.org", `"directResponse":{"status":503}`)},
		"an abort":                              {services, route("httpbin.org", real+`,"fault":{"abort":{"httpStatus":503,"percentage":{"value":100}}}`)},
		"a delay":                               {services, route("httpbin.org", real+`,"timeout":"0.001s"`)},
		"a route of the Service":                {services, route(inCluster, own)},
		"a TLS route":                           {services, `{"hosts":["www.google.com"],"tls":[{"match":[{"port":443,"sniHosts":["www.google.com"]}],"route":[{"destination":{"host":"own.example.net","port":{"number":80}}}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := b.object(o.kind, ns, "attack", o.spec); err != nil {
				t.Logf("the API server denies it: %.300v", err)
				return
			}
			time.Sleep(700 * time.Millisecond) // an edit takes a tenth of that
			for _, url := range []string{"http://httpbin.org/anything", "http://httpbin.servers:8000/anything"} {
				if got := b.neighbor.get(t, url, "secret", "of-the-neighbor"); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "of-the-neighbor") {
					t.Errorf("%s: %.300s", url, got)
				}
			}
			if got := b.neighbor.get(t, "https://www.google.com/"); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "www.google.com") {
				t.Errorf("TLS: %.300s", got)
			}
			b.neighbor.closed(t)
			kit.Must(t, b.objects.Resource(o.kind).Namespace(ns).Delete(ended, "attack", metav1.DeleteOptions{}))
		})
	}
	if log := b.log(t, ns, "sink", 200); strings.Contains(log, "of-the-neighbor") {
		t.Errorf("requests of the neighbor have arrived at the other namespace:\n%.2000s", log)
	}
	b.neighbor.goesOn(t, 2)
}

// headerCommands: one namespace has routes of its own host whose headers and mirrors
// contain commands; another's requests to that host carry nothing of its sidecar to it.
func headerCommands(t *testing.T, b *battery) {
	const ns = "commands"
	b.namespace(t, ns, false)
	ip := b.sink(t, ns)
	kit.Must(t, b.object(entries, ns, "open", fmt.Sprintf(`{"hosts":["open.example.com"],"location":"MESH_EXTERNAL","resolution":"STATIC",
		"ports":[{"number":80,"name":"http","protocol":"HTTP","targetPort":8099}],"endpoints":[{"address":%q}]}`, ip)))
	b.neighbor.until(t, "open.example.com", 200)
	secrets := []string{"ordinary", bank, "istio-proxy", b.pod(t, bank, "ordinary").Status.PodIP, "sidecar~"}
	for _, command := range []string{
		"%ENVIRONMENT(POD_NAME)%", "%ENVIRONMENT(POD_NAMESPACE)%", "%ENVIRONMENT(PATH)%", "%HOSTNAME%", "%DOWNSTREAM_LOCAL_ADDRESS%",
		"%DOWNSTREAM_REMOTE_ADDRESS%", "%FILTER_STATE(x)%", "%DYNAMIC_METADATA(x)%", "%UPSTREAM_LOCAL_ADDRESS%", "%FILE_CONTENT(/etc/hostname)%",
		"%SECRET(x)%", "%CEL(xds.node.id)%", "%REQ(x-secret)% %ENVIRONMENT(POD_NAME)%", "%ROUTE_NAME%", "%VIRTUAL_CLUSTER_NAME%",
	} {
		spec := fmt.Sprintf(`{"hosts":["open.example.com"],"http":[{"headers":{"request":{"set":{"x-out":%q}},"response":{"set":{"x-back":%[1]q}}},
			"route":[{"destination":{"host":"open.example.com"}}],"mirror":{"host":"open.example.com"}}]}`, command)
		if err := b.object(services, ns, "commands", spec); err != nil {
			continue // denied
		}
		time.Sleep(700 * time.Millisecond)
		b.neighbor.get(t, "http://open.example.com/anything")
		kit.Must(t, b.objects.Resource(services).Namespace(ns).Delete(ended, "commands", metav1.DeleteOptions{}))
	}
	log := b.log(t, ns, "sink", 500)
	if !strings.Contains(log, "open.example.com") {
		t.Errorf("no request has arrived: the attack was none:\n%s", log)
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("%q of the neighbor has arrived:\n%.3000s", secret, log)
		}
	}
	b.neighbor.goesOn(t, 2)
}

// sink starts a server that logs its requests, and returns its address.
func (b *battery) sink(t *testing.T, ns string) string {
	t.Helper()
	_, err := b.kube.CoreV1().Pods(ns).Create(ended, pod("sink", "sink"), metav1.CreateOptions{})
	kit.Must(t, err)
	b.ready(t, ns, "sink")
	return b.pod(t, ns, "sink").Status.PodIP
}
