package inject

import (
	"fmt"
	"testing"

	"github.com/outrider-mesh/outrider/config"
)

func TestTry(t *testing.T) {
	cfg, ps := config.Parse(config.Texts{}, config.Labels{})
	fmt.Println(ps)
	i, ps := Compile(cfg, Environment{})
	fmt.Println(ps)
	if i == nil {
		t.Fatal()
	}
	pod := []byte(`{"metadata":{"name":"a","labels":{"app":"sleep"}},"spec":{"containers":[{"name":"sleep","image":"curl"}]}}`)
	r, err := i.Inject(Request{Pod: pod, Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(AppendPatch(nil, r.Patch)))
	r2, err := i.Inject(Request{Pod: r.PodJSON(), Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(AppendPatch(nil, r2.Patch)), r2.Warnings)
}
