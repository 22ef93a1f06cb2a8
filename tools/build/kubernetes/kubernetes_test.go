// Package kubernetes_test checks deploy/kubernetes: kustomize builds it, and each object is one of Kubernetes' own, to
// the last field. It is in a module of its own, because the project needs none of its dependencies.
package kubernetes_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func build(t *testing.T, path string) []string {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n---\n")
}

func TestManifests(t *testing.T) {
	for path, want := range map[string][]string{
		"../../../deploy/kubernetes/base": {
			"Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget",
			"Service", "ServiceAccount",
		},
		"../../../deploy/kubernetes/overlays/example": {
			"ConfigMap", "Deployment", "Ingress", "Ingress", "Job", "Namespace",
			"NetworkPolicy", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "ServiceMonitor",
		},
	} {
		var kinds, ports []string
		routes, environment := map[string]string{}, map[string]string{}
		for _, document := range build(t, path) {
			var meta metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, meta.Kind)
			object := map[string]any{
				"apps/v1 Deployment": &appsv1.Deployment{}, "batch/v1 Job": &batchv1.Job{},
				"v1 ConfigMap": &corev1.ConfigMap{}, "v1 Namespace": &corev1.Namespace{},
				"v1 Service": &corev1.Service{}, "v1 ServiceAccount": &corev1.ServiceAccount{},
				"networking.k8s.io/v1 Ingress":       &networkingv1.Ingress{},
				"networking.k8s.io/v1 NetworkPolicy": &networkingv1.NetworkPolicy{},
				"policy/v1 PodDisruptionBudget":      &policyv1.PodDisruptionBudget{},
				// of the Prometheus operator, whose types would bring a hundred modules: what we use of them
				"monitoring.coreos.com/v1 ServiceMonitor": &serviceMonitor{},
			}[meta.APIVersion+" "+meta.Kind]
			if object == nil {
				t.Errorf("%s: an object of an unknown kind: %s %s", path, meta.APIVersion, meta.Kind)
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Errorf("%s: %s: %v", path, meta.Kind, err)
			}
			switch o := object.(type) {
			case *appsv1.Deployment:
				restricted(t, o.Spec.Template.Spec)
				if *o.Spec.Replicas < 2 || o.Spec.Selector == nil ||
					o.Spec.Selector.MatchLabels["app.kubernetes.io/name"] != o.Spec.Template.Labels["app.kubernetes.io/name"] {
					t.Errorf("%s: the deployment selects other pods than its own, or has one replica: %+v", path,
						o.Spec.Selector)
				}
				if c := o.Spec.Template.Spec.Containers[0]; c.ReadinessProbe == nil || c.LivenessProbe == nil ||
					c.StartupProbe == nil {
					t.Errorf("%s: a probe is missing", path)
				}
				migrated(t, o.Spec.Template.Spec)
				for _, variable := range o.Spec.Template.Spec.Containers[0].Env {
					environment[variable.Name] = variable.Value
				}
			case *batchv1.Job:
				restricted(t, o.Spec.Template.Spec)
				if account := o.Spec.Template.Spec.ServiceAccountName; account != "" {
					t.Errorf("the migration runs before the others, and needs their account %s", account)
				}
			case *networkingv1.Ingress:
				for _, rule := range o.Spec.Rules {
					for _, path := range rule.HTTP.Paths {
						routes[rule.Host] = path.Backend.Service.Port.Name
					}
				}
			case *corev1.Service:
				for _, port := range o.Spec.Ports {
					ports = append(ports, port.Name)
				}
			case *serviceMonitor:
				if o.Spec.JobLabel != "app.kubernetes.io/name" ||
					o.Spec.Selector.MatchLabels[o.Spec.JobLabel] != "staykey" {
					t.Errorf("the alerts expect job=\"staykey\": %+v", o.Spec)
				}
			case *networkingv1.NetworkPolicy:
				named(t, o.Spec)
			case *corev1.ConfigMap:
				if o.Name != "staykey" { // another name with every change would replace the pods
					t.Errorf("a changed file is not reloaded: the ConfigMap is %s", o.Name)
				}
				fewProxies(t, o.Data["staykey.yaml"])
			}
		}
		for host, port := range routes { // each host is where the service's own links lead
			url := map[string]string{"http": "STAYKEY_PUBLIC_URL", "admin": "STAYKEY_ADMIN_URL"}[port]
			if environment[url] != "https://"+host || !slices.Contains(ports, port) {
				t.Errorf("%s leads to the port %s of %v, and %s is %s", host, port, ports, url, environment[url])
			}
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, want) {
			t.Errorf("%s: %v, want %v", path, kinds, want)
		}
	}
}

// serviceMonitor is what the Prometheus operator's kind of that name has of the fields that we use.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		JobLabel  string               `json:"jobLabel"`
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// migrated wants the service to start after its migrations.
func migrated(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if len(pod.InitContainers) != 1 || !slices.Equal(pod.InitContainers[0].Args[:2], []string{"migrate", "status"}) {
		t.Errorf("nothing waits for the migrations: %+v", pod.InitContainers)
	}
}

// restricted is what Kubernetes' pod security standard of that name asks for, and a file system that is only read.
func restricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil ||
		s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod's security context: %+v", s)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Capabilities == nil ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: its security context: %+v", c.Name, s)
		}
	}
}

// named wants every rule of a network policy to say who, and of those inside the cluster which pods.
func named(t *testing.T, policy networkingv1.NetworkPolicySpec) {
	t.Helper()
	peers := func(what string, list []networkingv1.NetworkPolicyPeer) {
		if len(list) == 0 {
			t.Errorf("%s of the network policy is anybody", what)
		}
		for _, peer := range list {
			if peer.IPBlock == nil && (peer.PodSelector == nil || len(peer.PodSelector.MatchLabels) == 0) {
				t.Errorf("%s of the network policy is a whole namespace: %v", what, peer.NamespaceSelector)
			}
			if peer.IPBlock != nil && peer.IPBlock.CIDR == "0.0.0.0/0" && !slices.Contains(peer.IPBlock.Except,
				"10.0.0.0/8") {
				t.Errorf("%s of the network policy is the cluster too", what)
			}
		}
	}
	for _, rule := range policy.Ingress {
		peers("a source", rule.From)
	}
	for _, rule := range policy.Egress {
		peers("a destination", rule.To)
	}
	if len(policy.Ingress) == 0 || len(policy.Egress) == 0 {
		t.Error("the network policy has no rules")
	}
}

// fewProxies wants the example not to trust whole networks.
func fewProxies(t *testing.T, config string) {
	t.Helper()
	var c struct {
		TrustedProxies []string `json:"trusted_proxies"`
	}
	if err := yaml.Unmarshal([]byte(config), &c); err != nil || len(c.TrustedProxies) == 0 {
		t.Fatalf("%v: %s", err, config)
	}
	for _, network := range c.TrustedProxies {
		if prefix, err := netip.ParsePrefix(network); err != nil || prefix.Bits() < 24 {
			t.Errorf("the example trusts %s (%v)", network, err)
		}
	}
}
