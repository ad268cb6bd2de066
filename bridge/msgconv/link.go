package msgconv

import (
	"net/url"
	"strings"
)

// maxLink is the longest link in octets that is kept as one.
const maxLink = 2048

// safeLink reports whether a link is harmless to follow: it has a scheme from a
// short list, and no control characters that could hide another.
func safeLink(link string) bool {
	if len(link) > maxLink || strings.ContainsFunc(link, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(link)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "mailto":
		return u.Opaque != ""
	}
	return false
}

// misleading reports whether text looks like the address of a place other than
// the one that link leads to (draft-ietf-mimi-content-08, section "Link and
// Mention handling"). A downgrade from https to http counts.
func misleading(text, link string) bool {
	text = strings.TrimSpace(text)
	shown, err := url.Parse(text)
	if err != nil {
		return strings.Contains(text, "://")
	}
	target, err := url.Parse(link)
	if err != nil {
		return true
	}
	if shown.Scheme == "" || shown.Host == "" {
		host, _, _ := strings.Cut(text, "/")
		if !strings.Contains(host, ".") || strings.ContainsAny(host, " \n\t@") || strings.HasSuffix(host, ".") {
			return false // words, not an address
		}
		if shown, err = url.Parse(target.Scheme + "://" + text); err != nil {
			return true
		}
	}
	return canonical(shown) != canonical(target)
}

// canonical makes equivalent addresses equal.
func canonical(u *url.URL) string {
	host := strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"http": ":80", "https": ":443"} {
		if u.Scheme == scheme {
			host = strings.TrimSuffix(host, port)
		}
	}
	path := u.Path
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + host + path + "?" + u.RawQuery
}
