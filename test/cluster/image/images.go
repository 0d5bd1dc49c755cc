package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// References of the images that a cluster runs by itself, and of the sample's.
const (
	PauseRef = "localhost/pause:1"
	SleepRef = "docker.io/curlimages/curl:latest" // what "curlimages/curl" means
	WorldRef = "localhost/world:1"                // test/world as a pod
)

// tools are the host's programs in the image that sends requests. The shell is
// the first.
var tools = []string{
	"sh", "cat", "curl", "date", "env", "getent", "grep", "head", "id", "ls", "seq", "sleep", "tail", "time", "true", "wc",
}

// Pause holds a pod's namespaces; program is test/cluster/image/cmd/pause.
func Pause(program string) Image {
	return Image{
		Refs: []string{PauseRef}, User: "65535:65535", Entrypoint: []string{"/pause"},
		Files: []File{{Path: "/pause", From: program}},
	}
}

// Static is an image of one static program, which it runs from
// /usr/local/bin.
func Static(ref, program, user string) Image {
	at := "/usr/local/bin/" + filepath.Base(program)
	return Image{Refs: []string{ref}, User: user, Entrypoint: []string{at}, Files: []File{{Path: at, From: program}}}
}

// Sleep is the image of the sample that sends requests: curl, a shell, time and
// a few more programs of the host, which trust the CA.
func Sleep(ctx context.Context, ca []byte) (Image, error) {
	files := []File{
		{Path: "/etc/ssl/certs/ca-certificates.crt", Data: ca},
		{Path: "/usr/bin", Link: "../bin"},
	}
	var programs []string
	for _, name := range tools {
		found, err := exec.LookPath(name)
		if err != nil {
			return Image{}, fmt.Errorf("make image %s: %w; install it (Debian: curl, time, coreutils)", SleepRef, err)
		}
		files = append(files, File{Path: "/bin/" + name, From: found})
		programs = append(programs, found)
	}
	libraries, err := librariesOf(ctx, programs)
	if err != nil {
		return Image{}, fmt.Errorf("make image %s: %w", SleepRef, err)
	}
	return Image{
		Refs: []string{SleepRef}, Cmd: []string{"/bin/sh"}, User: "100:101",
		Env:   []string{"PATH=/bin"},
		Files: slices.Concat(base("curl_user:x:100:101::/:/bin/sh"), files, libraries),
	}, nil
}

// Envoy is an Envoy image with the program where the upstream image has it.
func Envoy(ctx context.Context, ref, program string) (Image, error) {
	libraries, err := librariesOf(ctx, []string{program})
	if err != nil {
		return Image{}, fmt.Errorf("make image %s: %w", ref, err)
	}
	const at = "/usr/local/bin/envoy"
	return Image{
		Refs: []string{ref}, Entrypoint: []string{at}, User: "101:101",
		Files: slices.Concat(base("envoy:x:101:101::/:/sbin/nologin"), []File{{Path: at, From: program}}, libraries),
	}, nil
}

// base is what the C library looks for: users, and that host names are looked
// up in /etc/hosts before DNS.
func base(user string) []File {
	return []File{
		{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/:/bin/sh\n" + user + "\n")},
		{Path: "/etc/group", Data: []byte("root:x:0:\n")},
		{Path: "/etc/nsswitch.conf", Data: []byte("hosts: files dns\n")},
		{Path: "/tmp", Dir: true, Mode: 0o1777},
	}
}

// librariesOf lists the shared libraries that programs need, at the paths where
// the dynamic linker looks for them. A static program needs none.
func librariesOf(ctx context.Context, programs []string) ([]File, error) {
	var files []File
	seen := map[string]bool{}
	for _, p := range programs {
		out, err := exec.CommandContext(ctx, "ldd", p).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
			return nil, fmt.Errorf("list the libraries of %s: %w\n%s", p, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "not found") {
				return nil, fmt.Errorf("list the libraries of %s: %s", p, strings.TrimSpace(line))
			}
			// "libc.so.6 => /lib/.../libc.so.6 (0x...)" or "/lib64/ld-....so.2 (0x...)"
			if _, after, ok := strings.Cut(line, "=>"); ok {
				line = after
			}
			at, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if !strings.HasPrefix(at, "/") || seen[at] {
				continue
			}
			seen[at] = true
			if _, err := os.Stat(at); err != nil {
				return nil, fmt.Errorf("list the libraries of %s: %w", p, err)
			}
			files = append(files, File{Path: filepath.Clean(at), From: at})
		}
	}
	return files, nil
}
