package sidecar

// Stable ids of the findings about gateway.yaml. A policy's own findings have ids below
// SG200; SG200 to SG299 are errors of the configuration and SG300 to SG399 its warnings.
// An id is never given to another fault.
const (
	idUnreadable   = "SG200" // a file that cannot be read or is too large
	idSyntax       = "SG201" // not YAML
	idDocuments    = "SG202" // no document, or more than one
	idUnknownKey   = "SG203"
	idDuplicateKey = "SG204"
	idWrongType    = "SG205"
	idBadValue     = "SG206"
	idMissing      = "SG207"
	// SG208 was for keys of features that did not exist yet.
	idAlias         = "SG209" // anchors, aliases and merge keys
	idOverride      = "SG210" // a flag or variable that cannot be taken
	idHostTwice     = "SG220" // two services for one host
	idIssuerTwice   = "SG221"
	idIssuerUnnamed = "SG222" // several issuers, and a service that does not say which
	idIssuerUnknown = "SG223" // a service or a policy names an issuer that is not configured
	idHeader        = "SG224" // a header that may not be kept or set
	idAlgorithm     = "SG225"
	idInsecure      = "SG226" // keys over plain http
	idUpstream      = "SG227"
	idTLS           = "SG228" // a certificate, key or CA that does not load
	idKeys          = "SG229" // inline keys or an issuer that the verifier refuses
	idNoTokens      = "SG231" // a policy asks for tokens and no issuer is configured
	idCORS          = "SG232" // credentials for any page
	idLanes         = "SG233" // services that want their connections read by different lanes
	idCandidate     = "SG234" // a candidate that cannot be one of this service
	idExplainKey    = "SG235" // a sealing key that is none, or that a service lacks

	idAudienceAny     = "SG300"
	idKeepHeaders     = "SG301"
	idExposed         = "SG302" // an upstream that can be reached around the gateway
	idUnknownVariable = "SG303"
	idAllowInsecure   = "SG304"
	idRestart         = "SG305" // a change that a reload cannot make
	idWideOrigin      = "SG306" // credentials for pages that others can write
	idCORSUseless     = "SG307" // cors and the policy do not fit together
	idNoCandidate     = "SG308" // the candidate's file is not there
	idOpenKey         = "SG309" // a sealing key that others on the machine can read
	idIdleKey         = "SG310" // a sealing key that no service uses
	idMetadata        = "SG311" // resource_metadata does not fit the service's hosts or policy
)
