package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// deployment reads a file of the deployment examples.
func deployment(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// accepted has the program's own parser read a command line under these variables, and returns what it made of it. A
// variable of Understudy's that is no option is an error.
func accepted(t *testing.T, what string, env map[string]string, args ...string) *cli {
	t.Helper()
	var c cli
	t.Run(what+": "+strings.Join(args, " "), func(t *testing.T) { // whose variables end with it
		file := &fileResolver{}
		parser, err := newParser(&c, file, io.Discard, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		known := variables(parser)
		for name, value := range env {
			t.Setenv(name, value)
			if strings.HasPrefix(name, variablePrefix) && !slices.Contains(known, name) {
				t.Errorf("the variable %s is no option", name)
			}
		}
		command, err := parse(parser, file, args)
		if err == nil && command.Command() == "run" {
			err = c.Run.validate()
		}
		if err != nil {
			t.Error(err)
		}
	})
	return &c
}

// image is what the Dockerfile says about how the program is run.
type image struct {
	entrypoint, command, health []string
	env                         map[string]string
}

func dockerfile(t *testing.T) image {
	t.Helper()
	text := strings.ReplaceAll(deployment(t, "Dockerfile"), "\\\n", " ")
	i := image{env: map[string]string{}}
	list := func(text string) (words []string) {
		if err := json.Unmarshal([]byte(text[strings.Index(text, "["):]), &words); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return words
	}
	for line := range strings.Lines(text) {
		switch name, rest, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "ENTRYPOINT":
			i.entrypoint = list(rest)
		case "CMD":
			i.command = list(rest)
		case "HEALTHCHECK":
			i.health = list(rest)
		case "ENV":
			for entry := range strings.FieldsSeq(rest) {
				name, value, _ := strings.Cut(entry, "=")
				i.env[name] = value
			}
		}
	}
	return i
}

// with returns the variables of the image with those of a container.
func (i *image) with(env map[string]string) map[string]string {
	all := map[string]string{}
	for _, from := range []map[string]string{i.env, env} {
		for name, value := range from {
			all[name] = value
		}
	}
	return all
}

func TestTheImageRunsWhatTheProgramHas(t *testing.T) {
	i := dockerfile(t)
	// There is no shell and no PATH to rely on in an image made from scratch.
	const program = "/usr/local/bin/understudy"
	if !slices.Equal(i.entrypoint, []string{program}) || len(i.health) < 2 || i.health[0] != program {
		t.Fatalf("%+v", i)
	}
	for _, copied := range []string{"/out/understudy " + program, "/etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/"} {
		if !strings.Contains(deployment(t, "Dockerfile"), "COPY --from=build "+copied) {
			t.Errorf("the image has no %s", copied)
		}
	}
	c := accepted(t, "CMD", i.with(map[string]string{"UNDERSTUDY_NODES": "redis-1:6379"}), i.command...)
	if len(c.Run.Listen) != 1 || c.Run.State == "" {
		t.Errorf("it listens on %v and keeps its state in %q", c.Run.Listen, c.Run.State)
	}
	status := accepted(t, "HEALTHCHECK", i.env, i.health[1:]...)
	if status.Status.Addr != c.Run.Admin {
		t.Errorf("health is asked for at %s, and the admin port is %s", status.Status.Addr, c.Run.Admin)
	}
}

// service is one of a compose file.
type service struct {
	Image       string
	Build       string
	Command     []string
	Environment map[string]string
	NetworkMode string `yaml:"network_mode"`
	Restart     string
	Init        bool
	StopGrace   string                                `yaml:"stop_grace_period"`
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Volumes     []string
	HealthCheck struct{ Test []string }
	Deploy      struct {
		Resources struct {
			Limits struct{ CPUs, Memory string }
		}
	}
}

// sidecar is what the tests know of an Understudy of an example.
func sidecar(t *testing.T, what string, env map[string]string, grace time.Duration, args ...string) *options {
	t.Helper()
	o := &accepted(t, what, env, args...).Run.options
	if grace <= o.DrainTimeout+time.Second {
		t.Errorf("%s: it is killed after %v, and drains for %v", what, grace, o.DrainTimeout)
	}
	if o.Zookeeper == "" || o.Password == "" || o.Username == "" || o.Advertise == "" || len(o.Nodes) != 3 || len(strings.Split(string(o.Zookeeper), ",")) != 3 {
		t.Errorf("%s: ZooKeeper %q, user %q, advertise %q, nodes %q", what, o.Zookeeper, o.Username, o.Advertise, o.Nodes)
	}
	return o
}

func TestTheComposeExampleIsWhatTheProgramUnderstands(t *testing.T) {
	var file struct {
		Services map[string]service
		Volumes  map[string]struct{}
	}
	if err := yaml.Unmarshal([]byte(deployment(t, "deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	i := dockerfile(t)
	count, ids := map[string]int{}, map[string]bool{}
	for name, s := range file.Services {
		kind, _, _ := strings.Cut(name, "-")
		count[kind]++
		if s.Deploy.Resources.Limits.CPUs == "" || s.Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s has no limits", name)
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, found := file.Volumes[source]; !found && !strings.HasPrefix(source, "./") {
				t.Errorf("%s mounts %s, which is not there", name, source)
			}
		}
		for other, d := range s.DependsOn {
			o, found := file.Services[other]
			// The image of Understudy brings its own.
			if !found || d.Condition != "service_healthy" || o.Build == "" && len(o.HealthCheck.Test) == 0 {
				t.Errorf("%s waits for %s to be %s", name, other, d.Condition)
			}
		}
		switch kind {
		case "understudy":
			grace, err := time.ParseDuration(s.StopGrace)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			args := s.Command
			if len(args) == 0 {
				args = i.command
			}
			o := sidecar(t, name, i.with(s.Environment), grace, args...)
			ids[o.ID] = true
			if pod := "pod-" + strings.TrimPrefix(name, "understudy-"); s.NetworkMode != "service:"+pod || o.Advertise != pod+":6379" {
				t.Errorf("%s shares the network of %q and is advertised as %s", name, s.NetworkMode, o.Advertise)
			}
			servers, _, _ := strings.Cut(string(o.Zookeeper), "/")
			for _, addr := range append(strings.Split(servers, ","), o.Nodes...) {
				host, _, _ := strings.Cut(addr, ":")
				if _, found := file.Services[host]; !found {
					t.Errorf("%s: there is no service %s", name, host)
				}
			}
			if tick := file.Services["zookeeper-1"].Environment["ZOO_TICK_TIME"] + "ms"; o.ZookeeperTick.String() != mustDuration(t, tick).String() {
				t.Errorf("%s: the tick is %v, that of ZooKeeper %s", name, o.ZookeeperTick, tick)
			}
		case "application":
			number := strings.TrimPrefix(name, "application-")
			if _, waits := s.DependsOn["understudy-"+number]; !waits || s.NetworkMode != "service:pod-"+number {
				t.Errorf("%s shares the network of %q and waits for %v", name, s.NetworkMode, s.DependsOn)
			}
		case "pod": // it must outlive those who share it
			if s.NetworkMode != "" || s.Restart != "unless-stopped" || !s.Init {
				t.Errorf("%s: network %q, restarted %q, init %t", name, s.NetworkMode, s.Restart, s.Init)
			}
		}
	}
	if want := map[string]int{"zookeeper": 3, "redis": 3, "understudy": 2, "application": 2, "pod": 2}; fmt.Sprint(count) != fmt.Sprint(want) || len(ids) != 2 {
		t.Errorf("there are %v, %d ids", count, len(ids))
	}
}

func mustDuration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// object is one of a file for Kubernetes, as far as the tests look at it.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		ServiceName    string `yaml:"serviceName"`
		Replicas       int
		MaxUnavailable int `yaml:"maxUnavailable"`
		Selector       struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace          int         `yaml:"terminationGracePeriodSeconds"`
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
			}
		}
	}
}

// container is one of a pod.
type container struct {
	Name          string
	RestartPolicy string `yaml:"restartPolicy"`
	Command, Args []string
	Env           []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe  probe `yaml:"startupProbe"`
	LivenessProbe probe `yaml:"livenessProbe"`
	Resources     struct{ Requests, Limits map[string]string }
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// variables are those of the container, with what the cluster fills in made up.
func (c *container) variables(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		switch value := e.Value; {
		case e.ValueFrom.FieldRef.FieldPath == "status.podIP":
			env[e.Name] = "10.0.0.1"
		case e.ValueFrom.FieldRef.FieldPath == "metadata.name":
			env[e.Name] = "pod-1"
		case e.ValueFrom.SecretKeyRef.Name == "redis":
			env[e.Name] = "secret " + e.ValueFrom.SecretKeyRef.Key
		case value == "":
			t.Errorf("%s: %s has no value", c.Name, e.Name)
		default:
			env[e.Name] = regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllStringFunc(value, func(s string) string { return env[s[2:len(s)-1]] })
		}
	}
	return env
}

func kubernetes(t *testing.T) []object {
	t.Helper()
	var list []object
	for decoder := yaml.NewDecoder(strings.NewReader(deployment(t, "deploy/kubernetes.yaml"))); ; {
		var o object
		switch err := decoder.Decode(&o); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		}
		list = append(list, o)
	}
}

func TestTheKubernetesExampleIsWhatTheProgramUnderstands(t *testing.T) {
	objects := kubernetes(t)
	named := func(kind, name string) *object {
		for i, o := range objects {
			if o.Kind == kind && o.Metadata.Name == name {
				return &objects[i]
			}
		}
		t.Fatalf("there is no %s %s", kind, name)
		return nil
	}
	i := dockerfile(t)
	sidecars := 0
	for _, o := range objects {
		pod := &o.Spec.Template.Spec
		for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			if c.Resources.Limits["cpu"] == "" || c.Resources.Limits["memory"] == "" || c.Resources.Requests["cpu"] == "" || c.Resources.Requests["memory"] == "" {
				t.Errorf("%s/%s has no limits or requests", o.Metadata.Name, c.Name)
			}
			env := c.variables(t)
			if c.Name != "understudy" {
				continue
			}
			sidecars++
			what := o.Metadata.Name + "/" + c.Name
			opts := sidecar(t, what, i.with(env), time.Duration(pod.Grace)*time.Second, c.Args...)
			if opts.ID != "pod-1" || opts.Advertise != "10.0.0.1:6379" || opts.Password != "secret understudy-password" || c.RestartPolicy != "Always" {
				t.Errorf("%s: id %q, advertise %q, password %q, restarted %q", what, opts.ID, opts.Advertise, opts.Password, c.RestartPolicy)
			}
			if c.StartupProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/livez" {
				t.Errorf("%s: it has started when %+v answers, and lives while %+v does", what, c.StartupProbe, c.LivenessProbe)
			}
			if len(c.Ports) != 2 || c.Ports[1].Name != c.StartupProbe.HTTPGet.Port || c.Ports[1].Name != c.LivenessProbe.HTTPGet.Port ||
				fmt.Sprintf(":%d", c.Ports[1].ContainerPort) != opts.HTTP {
				t.Errorf("%s: HTTP is at %s, the ports are %+v", what, opts.HTTP, c.Ports)
			}
			servers, _, _ := strings.Cut(string(opts.Zookeeper), "/")
			for _, addr := range append(strings.Split(servers, ","), opts.Nodes...) {
				checkPod(t, what, addr, named)
			}
			for _, e := range named("StatefulSet", "zookeeper").Spec.Template.Spec.Containers[0].Env {
				if e.Name == "ZOO_TICK_TIME" && mustDuration(t, e.Value+"ms") != opts.ZookeeperTick {
					t.Errorf("%s: the tick is %v, that of ZooKeeper %s ms", what, opts.ZookeeperTick, e.Value)
				}
			}
		}
	}
	if sidecars != 2 {
		t.Errorf("%d applications have an Understudy", sidecars)
	}
	for _, name := range []string{"zookeeper", "redis"} {
		set, budget := named("StatefulSet", name), named("PodDisruptionBudget", name)
		if set.Spec.Replicas != 3 || budget.Spec.MaxUnavailable != 1 || fmt.Sprint(budget.Spec.Selector.MatchLabels) != fmt.Sprint(set.Spec.Template.Metadata.Labels) ||
			fmt.Sprint(set.Spec.Selector.MatchLabels) != fmt.Sprint(set.Spec.Template.Metadata.Labels) {
			t.Errorf("%s: %d replicas with labels %v, of which %d with labels %v may be missing", name, set.Spec.Replicas, set.Spec.Template.Metadata.Labels,
				budget.Spec.MaxUnavailable, budget.Spec.Selector.MatchLabels)
		}
	}
	if named("ConfigMap", "redis").Data["redis.sh"] != deployment(t, "deploy/redis.sh") {
		t.Error("redis.sh in kubernetes.yaml is not the one beside it")
	}
}

// checkPod checks that an address is that of a pod of one of the sets.
func checkPod(t *testing.T, what, addr string, named func(kind, name string) *object) {
	t.Helper()
	host, _, _ := strings.Cut(addr, ":")
	pod, name, _ := strings.Cut(host, ".")
	set := named("StatefulSet", name)
	var number int
	if _, err := fmt.Sscanf(pod, name+"-%d", &number); err != nil || number >= set.Spec.Replicas || set.Spec.ServiceName != named("Service", name).Metadata.Name {
		t.Errorf("%s: %s is no pod of %s", what, host, name)
	}
}
