// documents SBOM STATEMENT: both read and validated by the packages of the SPDX project and of in-toto. Prints how much
// they found in them.
package main

import (
	"fmt"
	"os"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/spdx/tools-golang/utils"
	"google.golang.org/protobuf/encoding/protojson"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "documents:", err)
		os.Exit(1)
	}
	return value
}

func check(err error) { must(0, err) }

func readSbom(path string) {
	document := must(spdxjson.Read(must(os.Open(path))))
	check(spdxlib.ValidateDocument(document))
	described := must(spdxlib.GetDescribedPackageIDs(document))
	if len(described) != 1 {
		check(fmt.Errorf("%d packages are described, not one", len(described)))
	}
	for _, one := range document.Packages {
		if one.PackageSPDXIdentifier != described[0] {
			continue
		}
		// every file of the document belongs to the one package with files
		code := must(utils.GetVerificationCode(document.Files, ""))
		if !one.FilesAnalyzed || one.PackageVerificationCode.Value != code.Value {
			check(fmt.Errorf("verification code: %s, not %s", one.PackageVerificationCode.Value, code.Value))
		}
	}
	fmt.Println(len(document.Packages), "packages", len(document.Files), "files", len(document.Relationships), "relationships")
}

func readStatement(path string) {
	statement := &intoto.Statement{}
	check(protojson.Unmarshal(must(os.ReadFile(path)), statement))
	check(statement.Validate())
	predicate := &provenance.Provenance{}
	check(protojson.Unmarshal(must(protojson.Marshal(statement.Predicate)), predicate))
	check(predicate.Validate())
	fmt.Println(len(statement.Subject), "subjects", len(predicate.BuildDefinition.ResolvedDependencies), "dependencies")
}

func main() {
	readSbom(os.Args[1])
	readStatement(os.Args[2])
}
