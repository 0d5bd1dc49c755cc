package inject

import "testing"

func TestWindowsBy(t *testing.T) {
	terms := func(terms string) string {
		return `"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[` + terms + `]}}}`
	}
	os := func(operator, values string) string {
		return `{"matchExpressions":[{"key":"kubernetes.io/os","operator":"` + operator + `","values":[` + values + `]}]}`
	}
	const options = `"securityContext":{"windowsOptions":{"runAsUserName":"ContainerUser"}}`
	for _, c := range []struct{ name, spec, want string }{
		{"nothing", `"nodeName":"n"`, ""},
		{"os", `"os":{"name":"windows"}`, "spec.os.name"},
		{"os, capital", `"os":{"name":"Windows"}`, ""},
		{"os linux decides alone", `"os":{"name":"linux"},"nodeSelector":{"kubernetes.io/os":"windows"}`, ""},
		{"label", `"nodeSelector":{"kubernetes.io/os":"windows"}`, "spec.nodeSelector"},
		{"deprecated label", `"nodeSelector":{"beta.kubernetes.io/os":"windows"}`, "spec.nodeSelector"},
		{"label linux", `"nodeSelector":{"beta.kubernetes.io/os":"linux"}`, ""},
		{"build", `"nodeSelector":{"node.kubernetes.io/windows-build":"10.0.20348"}`, "spec.nodeSelector"},
		{"another label", `"nodeSelector":{"os":"windows"}`, ""},
		{"required", terms(os("In", `"windows"`)), fieldNodeAffinity},
		{"required, twice the same", terms(os("In", `"windows","windows"`)), fieldNodeAffinity},
		{"required, one of two", terms(os("In", `"windows","linux"`)), ""},
		{"required, linux", terms(os("In", `"linux"`)), ""},
		{"not linux", terms(os("NotIn", `"linux"`)), fieldNodeAffinity},
		{"not linux, nor another", terms(os("NotIn", `"linux","darwin"`)), fieldNodeAffinity},
		{"not windows", terms(os("NotIn", `"windows"`)), ""},
		{"any", terms(os("Exists", ``)), ""},
		{"every alternative", terms(os("In", `"windows"`) + "," + os("In", `"windows"`)), fieldNodeAffinity},
		{"an alternative on linux", terms(os("In", `"windows"`) + "," + os("In", `"linux"`)), ""},
		{"an alternative anywhere", terms(os("In", `"windows"`) + `,{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]}`), ""},
		{"an alternative by node name", terms(os("In", `"windows"`) + `,{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}`), ""},
		{"an alternative that selects nothing", terms(os("In", `"windows"`) + `,{}`), fieldNodeAffinity},
		{"no alternatives", terms(""), ""},
		{"with another requirement", terms(`{"matchExpressions":[{"key":"zone","operator":"Exists"},{"key":"beta.kubernetes.io/os","operator":"In","values":["windows"]}]}`), fieldNodeAffinity},
		{"newer builds", terms(`{"matchExpressions":[{"key":"node.kubernetes.io/windows-build","operator":"In","values":["10.0.20348","10.0.26100"]}]}`), fieldNodeAffinity},
		{"without a build", terms(`{"matchExpressions":[{"key":"node.kubernetes.io/windows-build","operator":"DoesNotExist"}]}`), ""},
		{"preferred", `"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"preference":` + os("In", `"windows"`) + `}]}}`, ""},
		{"options of the pod", options, fieldWindows},
		{"options on linux", options + `,"nodeSelector":{"kubernetes.io/os":"linux"}`, ""},
		{"options on linux by affinity", options + "," + terms(os("In", `"linux"`)), ""},
		{"options of a container", `"containers":[{"name":"a"},{"name":"b","securityContext":{"windowsOptions":{"gmsaCredentialSpecName":"web"}}}]`, fieldWindows},
		{"options of an init container", `"initContainers":[{"name":"b","securityContext":{"windowsOptions":{"hostProcess":true}}}]`, fieldWindows},
		{"no options", `"securityContext":{"windowsOptions":{}}`, ""},
		{"options without an effect", `"securityContext":{"windowsOptions":{"hostProcess":false,"runAsUserName":""}}`, ""},
		{"runtime class", `"runtimeClassName":"windows-2022"`, ""},
		{"toleration", `"tolerations":[{"key":"os","value":"windows","effect":"NoSchedule"}]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod, err := decodePod([]byte(`{"spec":{` + c.spec + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := windowsBy(&pod.Spec); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
