package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// earlierOptions select the stored configurations of one installation.
type earlierOptions struct {
	namespace, revision string
	format              string
	dryRun              bool
	kubeconfig.Access
}

func (o *earlierOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.namespace, "istioNamespace", "i", "istio-system", "namespace of the ConfigMaps")
	f.StringVarP(&o.revision, "revision", "r", "", "control-plane revision")
	addAccess(f, &o.Access)
}

// configCommand is about the configurations that the webhook has stored.
func configCommand(stdio stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "List and restore earlier configurations of a cluster",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var history, restore earlierOptions
	list := &cobra.Command{
		Use:   "history",
		Short: "List the configurations that were active",
		Long: `List the configurations that the webhook has stored, newest first. The hash is that
of the status annotation of pods. CONFIGMAPS is "yes" for what the ConfigMaps have
now.`,
		Example: `  outrider config history
  outrider config history -o json`,
		Args: asUsage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(history.format, asText, asJSON, asYAML); err != nil {
				return err
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runHistory(ctx, history, stdio.out, stdio.err) })
		},
	}
	history.addFlags(list.Flags())
	addOutput(list.Flags(), &history.format, asText, asJSON, asYAML)
	back := &cobra.Command{
		Use:   "restore HASH",
		Short: "Write an earlier configuration to the ConfigMaps",
		Long: `Write a configuration of "outrider config history" to the ConfigMaps
istio-sidecar-injector and istio. The API server validates them as any edit. A
ConfigMap that does not exist is created.`,
		Example: `  outrider config history
  outrider config restore 0f4a3c2b1d5e6f70`,
		Args: asUsage(cobra.ExactArgs(1)),

		ValidArgsFunction: firstArgument(hashes),
		RunE: func(cmd *cobra.Command, args []string) error {
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runRestore(ctx, restore, args[0], stdio.out, stdio.err) })
		},
	}
	restore.addFlags(back.Flags())
	back.Flags().BoolVar(&restore.dryRun, "dry-run", false, "validate on the API server, and write nothing")
	cmd.AddCommand(list, back)
	return cmd
}

// earlier is what is stored of one installation.
type earlier struct {
	client  kubernetes.Interface
	at      config.Location
	now     config.Texts
	records config.History
}

func (o *earlierOptions) read(ctx context.Context, w io.Writer) (*earlier, error) {
	p := newProgress(w)
	defer p.stop()
	p.at("reading the stored configurations", 0)
	access, err := o.Config()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	rev := revision.Revision(o.revision)
	e := &earlier{client: client, at: config.LocationOf(o.namespace, rev)}
	name := rev.Name("outrider-last-good")
	stored, err := client.CoreV1().ConfigMaps(o.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("get ConfigMap %s/%s: %w", o.namespace, name, err)
	}
	e.now, _, _, err = kubeconfig.Texts(ctx, client, kubeconfig.Names{
		Namespace: o.namespace, Injector: e.at.Injector, Mesh: e.at.Mesh, Optional: []string{e.at.Injector, e.at.Mesh},
	})
	p.stop()
	var errs []error
	e.records, errs = config.ReadHistory(stored.Data, stored.BinaryData)
	for _, err := range errs {
		fmt.Fprintf(w, "warning: ConfigMap %s/%s: %s\n", o.namespace, name, problem.Printable(err.Error()))
	}
	return e, err
}

func runHistory(ctx context.Context, o earlierOptions, out, warnings io.Writer) error {
	e, err := o.read(ctx, warnings)
	if err != nil {
		return err
	}
	if len(e.records) == 0 {
		fmt.Fprintln(warnings, "no configuration is stored yet")
	}
	if o.format != asText {
		text, err := encode(o.format, e.history())
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	if len(e.records) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "HASH\tACTIVE SINCE\tVERSION\tCONFIGMAPS")
	for _, r := range e.records {
		now := "no"
		if r.Is(e.now) {
			now = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", problem.Printable(r.Latest()), r.Time.Format(time.RFC3339), problem.Printable(strings.Join(r.Versions, ",")), now)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// historyReport is the history for programs.
type historyReport struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"` // History
	Configurations []historyEntry `json:"configurations"`
}

// historyEntry is a configuration that was active.
type historyEntry struct {
	Hash        string    `json:"hash"`
	ActiveSince time.Time `json:"activeSince"`
	Versions    []string  `json:"versions"` // of the program
	// ConfigMaps is set where the ConfigMaps have this configuration now.
	ConfigMaps bool `json:"configMaps"`
}

func (e *earlier) history() historyReport {
	out := historyReport{APIVersion: outputVersion, Kind: "History", Configurations: []historyEntry{}}
	for _, r := range e.records {
		out.Configurations = append(out.Configurations, historyEntry{r.Latest(), r.Time, append([]string{}, r.Versions...), r.Is(e.now)})
	}
	return out
}

func runRestore(ctx context.Context, o earlierOptions, hash string, out, warnings io.Writer) error {
	e, err := o.read(ctx, warnings)
	if err != nil {
		return err
	}
	for _, r := range e.records {
		if !r.Known(hash) {
			continue
		}
		texts, err := r.Read()
		if err != nil {
			return err
		}
		return e.restore(ctx, o, texts, out)
	}
	var known []string
	for _, r := range e.records {
		known = append(known, r.Latest())
	}
	if len(known) == 0 {
		return fmt.Errorf("%s: no such configuration: none is stored", problem.Quote(hash))
	}
	return fmt.Errorf("%s: no such configuration; use one of %s", problem.Quote(hash), strings.Join(known, ", "))
}

// restore writes both ConfigMaps. Each is validated with the other one as it is active:
// where the first one is rejected, the other one may have to be written before it.
func (e *earlier) restore(ctx context.Context, o earlierOptions, t config.Texts, out io.Writer) error {
	first := e.write(ctx, o, e.at.Injector, map[string]string{"config": t.Config, "values": t.Values}, out)
	second := e.write(ctx, o, e.at.Mesh, map[string]string{"mesh": t.Mesh}, out)
	if first != nil && second == nil && !o.dryRun {
		// The control plane needs a moment to apply the other one.
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
		first = e.write(ctx, o, e.at.Injector, map[string]string{"config": t.Config, "values": t.Values}, out)
	}
	return errors.Join(first, second)
}

// write replaces the texts in a ConfigMap, and keeps everything else. A text that
// neither has is not written.
func (e *earlier) write(ctx context.Context, o earlierOptions, name string, texts map[string]string, out io.Writer) error {
	maps := e.client.CoreV1().ConfigMaps(e.at.Namespace)
	var dry []string
	suffix := ""
	if o.dryRun {
		dry, suffix = []string{metav1.DryRunAll}, " (dry run)"
	}
	have, err := maps.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": revision.Revision(o.revision).Name("outrider")}}, Data: texts,
		}, metav1.CreateOptions{DryRun: dry})
		return e.wrote(out, name, "created"+suffix, err)
	}
	if err != nil {
		return fmt.Errorf("get ConfigMap %s/%s: %w", e.at.Namespace, name, err)
	}
	data, binary := map[string]any{}, map[string]any{}
	for key, text := range texts {
		if old, ok := have.Data[key]; (ok || text != "") && (!ok || old != text) {
			data[key] = text
		}
		if _, ok := have.BinaryData[key]; ok {
			binary[key] = nil
		}
	}
	if len(data)+len(binary) == 0 {
		fmt.Fprintf(out, "configmap/%s unchanged\n", name)
		return nil
	}
	patch, err := json.Marshal(map[string]any{"data": data, "binaryData": binary})
	if err == nil {
		_, err = maps.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{DryRun: dry})
	}
	return e.wrote(out, name, "restored"+suffix, err)
}

func (e *earlier) wrote(out io.Writer, name, done string, err error) error {
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", e.at.Namespace, name, err)
	}
	fmt.Fprintf(out, "configmap/%s %s\n", name, done)
	return nil
}
