package room

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// AssetUploadLocation says where clients upload assets
// (draft-ietf-mimi-room-policy-03, section 6.4).
type AssetUploadLocation uint8

// The values of AssetUploadLocation.
const (
	UploadUnspecified   AssetUploadLocation = 0
	UploadLocalProvider AssetUploadLocation = 1
	UploadHub           AssetUploadLocation = 2
)

// DownloadPrivacyType is a way to download assets
// (draft-ietf-mimi-room-policy-03, section 6.4).
type DownloadPrivacyType uint8

// The values of DownloadPrivacyType.
const (
	DownloadDirect   DownloadPrivacyType = 0
	DownloadHubProxy DownloadPrivacyType = 1
	DownloadOHTTP    DownloadPrivacyType = 2
)

// ProviderUploadDomains are the domains to which the clients of a provider
// upload.
type ProviderUploadDomains struct {
	Provider     string
	Destinations []string
}

// Wire codes the domains as
//
//	struct {
//	  DomainName provider;
//	  DomainName asset_upload_destinations<V>;
//	} ProviderAssetUploadDomains;
func (p *ProviderUploadDomains) Wire(c *wire.Codec) {
	domain(c, &p.Provider)
	wire.Vector(c, &p.Destinations, domain)
	check(c, atMost("upload destinations", p.Destinations, MaxList), distinctValues("upload destination", p.Destinations))
}

// DownloadPrivacy says which ways to download assets are acceptable.
type DownloadPrivacy struct {
	Allowed, Forbidden []DownloadPrivacyType
	// Default is the suggested way.
	Default DownloadPrivacyType
}

// Wire codes the settings as
//
//	struct {
//	  DownloadPrivacyType allowed_download_types<V>;
//	  DownloadPrivacyType forbidden_download_types<V>;
//	  DownloadPrivacyType default_download_type;
//	} DownloadPrivacy;
func (p *DownloadPrivacy) Wire(c *wire.Codec) {
	downloadType := func(c *wire.Codec, t *DownloadPrivacyType) { enum(c, t, DownloadOHTTP) }
	wire.Vector(c, &p.Allowed, downloadType)
	wire.Vector(c, &p.Forbidden, downloadType)
	downloadType(c, &p.Default)
	check(c, distinctValues("download type", slices.Concat(p.Allowed, p.Forbidden)))
	if slices.Contains(p.Forbidden, p.Default) {
		c.Fail(fmt.Errorf("%w: default_download_type is forbidden", ErrConflict))
	}
}

// A MediaType is one IANA media type with parameters
// (draft-ietf-mls-extensions-09, section 6.2.2).
type MediaType struct {
	// Type is the top-level type, a slash, and the subtype.
	Type       string
	Parameters []MediaParameter
}

// A MediaParameter is a parameter of a media type, its value without quotes.
type MediaParameter struct {
	Name, Value string
}

// Wire codes the media type as
//
//	struct {
//	    opaque parameter_name<V>;
//	    opaque parameter_value<V>;
//	} Parameter;
//
//	struct {
//	    opaque media_type<V>;
//	    Parameter parameters<V>;
//	} MediaType;
func (m *MediaType) Wire(c *wire.Codec) {
	text(c, &m.Type, MaxName)
	wire.Vector(c, &m.Parameters, func(c *wire.Codec, p *MediaParameter) {
		text(c, &p.Name, MaxName)
		text(c, &p.Value, MaxText)
		if p.Name == "" {
			c.Fail(fmt.Errorf("%w: parameter without name", ErrText))
		}
	})
	check(c, atMost("parameters", m.Parameters, MaxList))
	if top, sub, ok := strings.Cut(m.Type, "/"); !ok || top == "" || sub == "" || strings.ContainsAny(m.Type, " ;\t") {
		c.Fail(fmt.Errorf("%w: media type is not type/subtype", ErrText))
	}
}

// covers reports whether entry m of a list matches a media type: the same type
// and subtype, and the same parameters if the entry has any.
func (m *MediaType) covers(other *MediaType) bool {
	if !strings.EqualFold(m.Type, other.Type) {
		return false
	}
	for _, want := range m.Parameters {
		if !slices.ContainsFunc(other.Parameters, func(have MediaParameter) bool {
			return strings.EqualFold(have.Name, want.Name) && have.Value == want.Value
		}) {
			return false
		}
	}
	return len(m.Parameters) == 0 || len(m.Parameters) == len(other.Parameters)
}

// AssetPolicy is the component asset_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.4).
type AssetPolicy struct {
	UploadLocation AssetUploadLocation
	// UploadDomains has one entry, the hub's, if UploadLocation is [UploadHub].
	UploadDomains []ProviderUploadDomains
	Download      DownloadPrivacy
	// The largest asset of each sort, in octets.
	MaxImage, MaxAudio, MaxVideo, MaxAttachment uint64
	ForbiddenMediaTypes                         []MediaType
	// PermittedMediaTypes is nil if every type that is not forbidden is
	// permitted.
	PermittedMediaTypes *[]MediaType
}

// Wire codes the policy as
//
//	struct {
//	  AssetUploadLocation asset_upload_location;
//	  ProviderAssetUploadDomains upload_domains<V>;
//	  DownloadPrivacy download_privacy;
//	  uint64 max_image;
//	  uint64 max_audio;
//	  uint64 max_video;
//	  uint64 max_attachment;
//	  MediaType forbidden_media_types<V>;
//	  optional<MediaType> permitted_media_types<V>;
//	} AssetPolicy;
func (p *AssetPolicy) Wire(c *wire.Codec) {
	enum(c, &p.UploadLocation, UploadHub)
	wire.Vector(c, &p.UploadDomains, wire.Struct[ProviderUploadDomains])
	p.Download.Wire(c)
	wire.Uint64(c, &p.MaxImage)
	wire.Uint64(c, &p.MaxAudio)
	wire.Uint64(c, &p.MaxVideo)
	wire.Uint64(c, &p.MaxAttachment)
	mediaTypes(c, &p.ForbiddenMediaTypes)
	wire.Optional(c, &p.PermittedMediaTypes, mediaTypes)
	check(
		c,
		atMost("upload domains", p.UploadDomains, MaxList),
		distinct("provider", p.UploadDomains, func(d *ProviderUploadDomains) string { return d.Provider }),
	)
	if p.UploadLocation == UploadHub && len(p.UploadDomains) != 1 {
		c.Fail(fmt.Errorf("%w: %d upload domains where the hub's is the only one", ErrConflict, len(p.UploadDomains)))
	}
}

func mediaTypes(c *wire.Codec, v *[]MediaType) {
	wire.Vector(c, v, wire.Struct[MediaType])
	check(c, atMost("media types", *v, MaxList))
}

// Permits reports whether assets of a media type are allowed. An entry without
// parameters matches the type with any.
func (p *AssetPolicy) Permits(m MediaType) bool {
	listed := func(list []MediaType) bool {
		return slices.ContainsFunc(list, func(entry MediaType) bool { return entry.covers(&m) })
	}
	return !listed(p.ForbiddenMediaTypes) && (p.PermittedMediaTypes == nil || listed(*p.PermittedMediaTypes))
}
