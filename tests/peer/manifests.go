// manifests FILE: Kubernetes manifests decoded strictly into Kubernetes' own types (a member that they do not have is an
// error), then held against each other: what one object calls another must be there. Prints the command line, the mounts
// and the probes of the container as JSON, so that the test can run what the manifest says. Exit 1: something is wrong.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var wrong []string

func check(holds bool, format string, args ...any) {
	if !holds {
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
}

func selects(selector map[string]string, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

type objects struct {
	deployment appsv1.Deployment
	service    corev1.Service
	autoscaler autoscalingv2.HorizontalPodAutoscaler
	disruption policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
	account    corev1.ServiceAccount
}

func decode(path string) objects {
	var all objects
	into := map[string]any{
		"apps/v1 Deployment":                        &all.deployment,
		"v1 Service":                                &all.service,
		"autoscaling/v2 HorizontalPodAutoscaler":    &all.autoscaler,
		"policy/v1 PodDisruptionBudget":             &all.disruption,
		"networking.k8s.io/v1 NetworkPolicy":        &all.network,
		"v1 ServiceAccount":                         &all.account,
	}
	data, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for number, document := range bytes.Split(data, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			check(false, "document %d: %v", number, err)
			continue
		}
		name := kind.APIVersion + " " + kind.Kind
		object, known := into[name]
		if !known {
			check(false, "document %d: %q is not expected, or there twice", number, name)
			continue
		}
		delete(into, name)
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			check(false, "%s: %v", name, err)
		}
	}
	for name := range into {
		check(false, "there is no %s", name)
	}
	return all
}

func secured(context *corev1.SecurityContext) bool {
	no := func(value *bool) bool { return value != nil && !*value }
	yes := func(value *bool) bool { return value != nil && *value }
	return context != nil && no(context.AllowPrivilegeEscalation) && yes(context.ReadOnlyRootFilesystem) &&
		context.Capabilities != nil && len(context.Capabilities.Add) == 0 && len(context.Capabilities.Drop) == 1 &&
		context.Capabilities.Drop[0] == "ALL"
}

func main() {
	all := decode(os.Args[1])
	if len(wrong) == 0 {
		hold(all)
	}
	for _, text := range wrong {
		fmt.Fprintf(os.Stderr, "%s: %s\n", os.Args[1], text)
	}
	if len(wrong) != 0 {
		os.Exit(1)
	}
}

func hold(all objects) {
	pod := all.deployment.Spec.Template
	labels := pod.Labels
	check(len(pod.Spec.Containers) == 1, "%d containers", len(pod.Spec.Containers))
	container := pod.Spec.Containers[0]
	ports := map[string]int32{}
	for _, port := range container.Ports {
		ports[port.Name] = port.ContainerPort
	}
	// the Deployment
	check(all.deployment.Spec.Replicas == nil, "replicas: the autoscaler's to say, else each apply undoes what it did")
	check(selects(all.deployment.Spec.Selector.MatchLabels, labels), "the Deployment does not select its own pods")
	check(pod.Spec.ServiceAccountName == all.account.Name, "service account %q", pod.Spec.ServiceAccountName)
	check(all.account.AutomountServiceAccountToken != nil && !*all.account.AutomountServiceAccountToken,
		"the pod gets a token of the API server that it has no use for")
	check(secured(container.SecurityContext), "the container's security context")
	context := pod.Spec.SecurityContext
	check(context != nil && context.RunAsNonRoot != nil && *context.RunAsNonRoot && context.SeccompProfile != nil &&
		context.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "the pod's security context")
	check(context.RunAsUser != nil && context.FSGroup != nil && *context.RunAsUser != 0 && *context.FSGroup != 0,
		"user and group are named: by them the key files are read")
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		_, asked := container.Resources.Requests[name]
		check(asked, "no request of %s: the autoscaler and the scheduler go by it", name)
	}
	_, limited := container.Resources.Limits[corev1.ResourceMemory]
	check(limited, "no limit of memory")
	// volumes and mounts, both ways; keys come from a Secret, and are nobody else's to read
	volumes, mounts := map[string]corev1.Volume{}, map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = volume
		if volume.Secret != nil {
			check(volume.Secret.DefaultMode != nil && *volume.Secret.DefaultMode&0o077 == 0,
				"volume %s: mode of the keys", volume.Name)
		}
	}
	for _, mount := range container.VolumeMounts {
		_, known := volumes[mount.Name]
		check(known, "no volume %q", mount.Name)
		check(mount.ReadOnly, "%s: not read-only", mount.MountPath)
		kind := "configmap"
		if volumes[mount.Name].Secret != nil {
			kind = "secret"
		}
		mounts[mount.MountPath] = kind
		delete(volumes, mount.Name)
	}
	for name := range volumes {
		check(false, "volume %q is mounted nowhere", name)
	}
	// probes
	probes := map[string]string{}
	for name, probe := range map[string]*corev1.Probe{
		"startup": container.StartupProbe, "liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			check(false, "no %s probe over HTTP", name)
			continue
		}
		_, known := ports[probe.HTTPGet.Port.StrVal]
		check(known, "%s probe: no port %q", name, probe.HTTPGet.Port.StrVal)
		probes[name] = probe.HTTPGet.Path
	}
	// who names it
	check(selects(all.service.Spec.Selector, labels), "the Service selects no pod")
	for _, port := range all.service.Spec.Ports {
		_, known := ports[port.TargetPort.StrVal]
		check(known, "the Service: no port %q", port.TargetPort.StrVal)
	}
	target := all.autoscaler.Spec.ScaleTargetRef
	check(target.Kind == "Deployment" && target.APIVersion == "apps/v1" && target.Name == all.deployment.Name,
		"the autoscaler scales %s %s", target.Kind, target.Name)
	least := all.autoscaler.Spec.MinReplicas
	check(least != nil && *least >= 2, "fewer than two replicas")
	check(all.disruption.Spec.MinAvailable != nil && least != nil &&
		all.disruption.Spec.MinAvailable.IntVal < *least && all.disruption.Spec.MinAvailable.IntVal > 0,
		"a node cannot be drained, or all pods of it may go at once")
	check(selects(all.disruption.Spec.Selector.MatchLabels, labels), "the disruption budget selects no pod")
	check(selects(all.network.Spec.PodSelector.MatchLabels, labels), "the network policy selects no pod")
	for _, rule := range all.network.Spec.Ingress {
		check(len(rule.From) > 0, "the network policy lets everybody in")
		for _, port := range rule.Ports {
			_, known := ports[port.Port.StrVal]
			check(known, "the network policy: no port %q", port.Port.StrVal)
		}
	}
	check(len(all.network.Spec.Egress) == 0 && len(all.network.Spec.PolicyTypes) == 2,
		"the service asks nobody anything: no way out is wanted")

	out, _ := json.Marshal(map[string]any{"command": container.Command, "args": container.Args, "mounts": mounts,
		"probes": probes, "ports": ports, "user": context.RunAsUser, "group": context.FSGroup,
		"grace": pod.Spec.TerminationGracePeriodSeconds})
	fmt.Println(string(out))
}
