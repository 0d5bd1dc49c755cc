package tmpdeps

import (
	_ "github.com/Masterminds/sprig/v3"
	_ "github.com/google/nftables"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/spf13/cobra"
	_ "github.com/tidwall/gjson"
	_ "go.yaml.in/yaml/v4"
	_ "go4.org/netipx"
	_ "gomodules.xyz/jsonpatch/v2"
	_ "istio.io/api/annotation"
	_ "istio.io/api/mesh/v1alpha1"
	_ "k8s.io/api/apps/v1"
	_ "k8s.io/apimachinery/pkg/util/strategicpatch"
	_ "k8s.io/client-go/kubernetes"
	_ "sigs.k8s.io/controller-runtime"
	_ "sigs.k8s.io/controller-runtime/pkg/envtest"
	_ "sigs.k8s.io/controller-runtime/pkg/webhook"
	_ "sigs.k8s.io/yaml"
)
