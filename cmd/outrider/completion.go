package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// The bounds of a completion, for which a shell waits: of all its requests together, of the
// objects that it reads, without their specifications, and of the names that it prints.
const (
	completionTimeout = 2 * time.Second
	completionPage    = 500
	completionPages   = 10
	completionNames   = 100
)

// completionProgram is the name of the program that kubectl runs to complete the arguments of
// the plugin. A copy of this program, or a link to it, is one.
const completionProgram = "kubectl_complete-outrider"

// valuesKey is the annotation of a flag with its possible values.
const valuesKey = "outrider.dev/values"

// setValues sets the possible values of a flag.
func setValues(f *pflag.FlagSet, name string, values ...string) {
	_ = f.SetAnnotation(name, valuesKey, values) // the caller has added the flag
}

// fileFlags are the flags that name files.
var fileFlags = []string{
	"filename", "base", "ranges-from", "injectConfigFile", "valuesFile", "meshConfigFile",
	"kubeconfig", "certificate-authority", "client-certificate", "client-key",
}

// completer finds the names that begin with a prefix.
type completer func(*cobra.Command, string) []string

// flagCompleters are those of flags, by their names.
var flagCompleters = map[string]completer{
	"namespace":           ofCluster("", "v1", "namespaces"),
	"istioNamespace":      ofCluster("", "v1", "namespaces"),
	"context":             contexts,
	"cluster":             clusters,
	"user":                users,
	"revision":            revisions,
	"injectConfigMapName": configMaps,
	"meshConfigMapName":   configMaps,
	"proxy":               workloadNames,
}

// addCompletion completes the flags of all commands, and arguments.
func addCompletion(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		addCompletion(child)
	}
	if cmd.ValidArgsFunction == nil && cmd.Name() != "validate" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		find, found := flagCompleters[flag.Name]
		values := flag.Annotations[valuesKey]
		switch {
		case values != nil:
			find = func(*cobra.Command, string) []string { return values }
		case !found && (slices.Contains(fileFlags, flag.Name) || flag.Name == "output"):
			return // a file
		case !found:
			find = func(*cobra.Command, string) []string { return nil }
		}
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, find.complete) // it fails for a flag that has one
	})
}

// complete is cobra's form of a completer. Names that end with a slash are continued.
func (c completer) complete(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	var names []string
	for _, name := range c(cmd, prefix) {
		if strings.HasPrefix(name, prefix) && len(names) < completionNames {
			names = append(names, name)
		}
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !strings.HasSuffix(name, "/") }) {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return names, directive
}

// firstArgument completes one argument.
func firstArgument(c completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.complete(cmd, args, prefix)
	}
}

// accessOf is what the flags of a command select.
func accessOf(cmd *cobra.Command) *kubeconfig.Access {
	var a kubeconfig.Access
	var all pflag.FlagSet
	addAccess(&all, &a)
	all.VisitAll(func(flag *pflag.Flag) {
		set := cmd.Flags().Lookup(flag.Name)
		if set == nil || !set.Changed {
			return
		}
		if list, ok := set.Value.(pflag.SliceValue); ok {
			_ = flag.Value.(pflag.SliceValue).Replace(list.GetSlice()) // of the same type
			return
		}
		_ = flag.Value.Set(set.Value.String()) // of the same type
	})
	return &a
}

// flagOf is the value of a flag, empty where the command does not have it.
func flagOf(cmd *cobra.Command, name string) string {
	if flag := cmd.Flags().Lookup(name); flag != nil {
		return flag.Value.String()
	}
	return ""
}

// contexts are those of the kubeconfig.
func contexts(cmd *cobra.Command, _ string) []string {
	raw, _ := accessOf(cmd).Raw() // empty on an error
	return slices.Sorted(maps.Keys(raw.Contexts))
}

// clusters are those of the kubeconfig.
func clusters(cmd *cobra.Command, _ string) []string {
	raw, _ := accessOf(cmd).Raw() // empty on an error
	return slices.Sorted(maps.Keys(raw.Clusters))
}

// users are those of the kubeconfig.
func users(cmd *cobra.Command, _ string) []string {
	raw, _ := accessOf(cmd).Raw() // empty on an error
	return slices.Sorted(maps.Keys(raw.AuthInfos))
}

// ofCluster completes names of objects without a namespace.
func ofCluster(group, version, resource string) completer {
	return func(cmd *cobra.Command, prefix string) []string {
		return list(cmd, schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, "", "", nameWith(prefix))
	}
}

// nameWith is the name of an object, where it begins with the prefix.
func nameWith(prefix string) func(*metav1.PartialObjectMetadata) string {
	return func(o *metav1.PartialObjectMetadata) string {
		if strings.HasPrefix(o.Name, prefix) {
			return o.Name
		}
		return ""
	}
}

// revisions are those that have a webhook configuration.
func revisions(cmd *cobra.Command, _ string) []string {
	webhooks := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	return list(cmd, webhooks, "", "app=sidecar-injector", func(o *metav1.PartialObjectMetadata) string {
		if r := o.Labels[annotation.Rev]; o.Name == revision.Revision(r).Name("outrider-sidecar-injector") {
			return r
		}
		return ""
	})
}

// configMaps are those of the installation's namespace.
func configMaps(cmd *cobra.Command, prefix string) []string {
	return list(cmd, schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, flagOf(cmd, "istioNamespace"), "", nameWith(prefix))
}

// workloadNames are pods, and workloads after KIND/.
func workloadNames(cmd *cobra.Command, prefix string) (names []string) {
	kind, name, found := strings.Cut(prefix, "/")
	if !found {
		for _, w := range workloadKinds[1:] {
			names = append(names, strings.Fields(w.names)[0]+"/")
		}
		slices.Sort(names)
		kind, name = "pod", prefix
	}
	resource, _, err := workloadOf(kind + "/x")
	if err != nil {
		return names
	}
	namespace := flagOf(cmd, "namespace")
	if namespace == "" {
		if namespace, err = accessOf(cmd).Namespace(); err != nil {
			return names
		}
	}
	for _, o := range list(cmd, resource, namespace, "", nameWith(name)) {
		if found {
			o = kind + "/" + o
		}
		names = append(names, o)
	}
	return names
}

// hashes are those of the stored configurations.
func hashes(cmd *cobra.Command, _ string) []string {
	return bounded(cmd, func(ctx context.Context, access *kubeconfig.Access) (out []string) {
		rest, err := access.Config()
		if err != nil {
			return nil
		}
		client, err := kubernetes.NewForConfig(rest)
		if err != nil {
			return nil
		}
		name := revision.Revision(flagOf(cmd, "revision")).Name("outrider-last-good")
		stored, err := client.CoreV1().ConfigMaps(flagOf(cmd, "istioNamespace")).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		records, _ := config.ReadHistory(stored.Data, stored.BinaryData)
		for _, r := range records {
			out = append(out, r.Latest())
		}
		return out
	})
}

// list reads the names of objects, in pages: as many as there is time for.
func list(cmd *cobra.Command, resource schema.GroupVersionResource, namespace, selector string, name func(*metav1.PartialObjectMetadata) string) []string {
	return bounded(cmd, func(ctx context.Context, access *kubeconfig.Access) (out []string) {
		rest, err := access.Config()
		if err != nil {
			return nil
		}
		client, err := metadata.NewForConfig(rest)
		if err != nil {
			return nil
		}
		o := metav1.ListOptions{LabelSelector: selector, Limit: completionPage}
		for range completionPages {
			page, err := client.Resource(resource).Namespace(namespace).List(ctx, o)
			if err != nil {
				return out
			}
			for i := range page.Items {
				if found := name(&page.Items[i]); found != "" && len(out) < completionNames {
					out = append(out, found)
				}
			}
			if o.Continue = page.Continue; o.Continue == "" || len(out) == completionNames {
				break
			}
		}
		return out
	})
}

// bounded is what read finds within the time, also where a program that the kubeconfig names
// for credentials does not end. Errors are no names.
func bounded(cmd *cobra.Command, read func(context.Context, *kubeconfig.Access) []string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	found := make(chan []string, 1)
	go func() { found <- read(ctx, accessOf(cmd)) }()
	select {
	case names := <-found:
		slices.Sort(names)
		return names
	case <-time.After(completionTimeout + 100*time.Millisecond): // read returns what it has when the context ends
		return nil
	}
}
