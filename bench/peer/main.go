// Verifications per second on one core by go-sev-guest (Debian's package), for bench/verify.sh: signature, chain to AMD's
// embedded roots and certificate extensions, then its comparison with a policy that wants as much as it can be told.
// Nothing is fetched. Prints, as verify.cpp does: name, least and median of microseconds per call.
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench peer:", err)
		os.Exit(1)
	}
}

// CPU time of the whole process: the collector's work is part of the price.
func seconds() float64 {
	var use syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return float64(use.Utime.Sec+use.Stime.Sec) + float64(use.Utime.Usec+use.Stime.Usec)*1e-6
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	must(err)
	return content
}

// REPORT VEK ASK ARK TIME ROUNDS
func main() {
	if len(os.Args) != 7 {
		must(fmt.Errorf("wanted REPORT VEK ASK ARK TIME ROUNDS"))
	}
	report, vek, ask, ark := read(os.Args[1]), read(os.Args[2]), read(os.Args[3]), read(os.Args[4])
	now, err := time.Parse(time.RFC3339, os.Args[5])
	must(err)
	rounds, err := strconv.Atoi(os.Args[6])
	must(err)
	fields, err := abi.ReportToProto(report)
	must(err)
	vmpl := int(fields.Vmpl)
	wanted := &validate.Options{
		GuestPolicy: abi.SnpPolicy{SMT: true},
		ReportData:  fields.ReportData, Measurement: fields.Measurement, HostData: fields.HostData,
		ImageID: fields.ImageId, FamilyID: fields.FamilyId, ChipID: fields.ChipId, VMPL: &vmpl,
		PlatformInfo:              &abi.SnpPlatformInfo{SMTEnabled: true, TSMEEnabled: true},
		PermitProvisionalFirmware: true,
	}
	genuine := func() *spb.Attestation {
		parsed, err := abi.ReportToProto(report)
		must(err)
		chain := &spb.CertificateChain{VcekCert: vek, AskCert: ask, ArkCert: ark}
		attestation := &spb.Attestation{Report: parsed, CertificateChain: chain}
		must(verify.SnpAttestation(attestation, &verify.Options{DisableCertFetching: true, Now: now}))
		return attestation
	}
	calls := []struct {
		name string
		call func()
	}{
		{"go-sev-guest: genuine (verify)", func() { genuine() }},
		{"go-sev-guest: and acceptable (verify, validate)", func() { must(validate.SnpAttestation(genuine(), wanted)) }},
	}
	const times = 20
	for _, what := range calls {
		var taken []float64
		for round := 0; round <= rounds; round++ { // the first only warms the caches
			begin := seconds()
			for i := 0; i < times; i++ {
				what.call()
			}
			if round > 0 {
				taken = append(taken, (seconds()-begin)*1e6/times)
			}
		}
		sort.Float64s(taken)
		fmt.Printf("%s\t%.2f\t%.2f\n", what.name, taken[0], taken[len(taken)/2])
	}
}
