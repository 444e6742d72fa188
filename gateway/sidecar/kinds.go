package sidecar

import (
	"slices"

	"github.com/scopegate/scopegate/gateway/policy"
)

// Kinds lists every id that LoadConfig can report about gateway.yaml, with what it means. Those
// about policies are policy.Kinds.
func Kinds() []policy.Kind { return slices.Clone(kinds) }

var kinds = []policy.Kind{
	{ID: idUnreadable, Doc: "a file that cannot be read or is too large"},
	{ID: idSyntax, Doc: "a file that is not YAML"},
	{ID: idDocuments, Doc: "no document, or more than one"},
	{ID: idUnknownKey, Doc: "a key that gateway.yaml does not have"},
	{ID: idDuplicateKey, Doc: "a key that stands twice in one mapping"},
	{ID: idWrongType, Doc: "a value of the wrong type"},
	{ID: idBadValue, Doc: "a value that is out of its range, or not one of those that are possible"},
	{ID: idMissing, Doc: "a key that must be written is missing"},
	{ID: idAlias, Doc: "an anchor, an alias or a merge key"},
	{ID: idOverride, Doc: "a flag or an environment variable that cannot be taken"},
	{ID: idHostTwice, Doc: "two services for one host"},
	{ID: idIssuerTwice, Doc: "an issuer that stands twice"},
	{ID: idIssuerUnnamed, Doc: "a service that does not say which of several issuers counts"},
	{ID: idIssuerUnknown, Doc: "a service or a policy that names an issuer which is not configured"},
	{ID: idHeader, Doc: "a header that may not be kept or set"},
	{ID: idAlgorithm, Doc: "a signature algorithm that is never accepted, or unknown"},
	{ID: idInsecure, Doc: "keys that would be fetched over plain http from beyond loopback"},
	{ID: idUpstream, Doc: "an upstream that is no address of a service"},
	{ID: idTLS, Doc: "a certificate, a key or an authority that does not load"},
	{ID: idKeys, Doc: "inline keys, or an issuer, that the verifier refuses"},
	{ID: idNoTokens, Doc: "a policy that asks for tokens where no issuer is configured"},
	{ID: idCORS, Doc: "cors that would give credentials to any page"},
	{ID: idLanes, Doc: "services that want their connections read by different lanes"},
	{ID: idCandidate, Doc: "a candidate that cannot be a policy of its service"},
	{ID: idExplainKey, Doc: "a sealing key that is none, or that a service lacks"},

	{ID: idAudienceAny, Doc: "tokens are taken whomever they are meant for"},
	{ID: idKeepHeaders, Doc: "a header that is passed on although it is removed by default"},
	{ID: idExposed, Doc: "an upstream that can be reached around the gateway"},
	{ID: idUnknownVariable, Doc: "an environment variable of the gateway's prefix that sets nothing"},
	{ID: idAllowInsecure, Doc: "keys are fetched over plain http"},
	{ID: idRestart, Doc: "a change that a reload cannot make"},
	{ID: idWideOrigin, Doc: "cors with credentials for pages that others can write"},
	{ID: idCORSUseless, Doc: "cors and the policy do not fit together"},
	{ID: idNoCandidate, Doc: "a candidate whose file is not there"},
	{ID: idOpenKey, Doc: "a sealing key that everybody on the machine can read"},
	{ID: idIdleKey, Doc: "a sealing key that no service uses"},
	{ID: idMetadata, Doc: "resource_metadata that does not fit the service's hosts or policy"},
}
