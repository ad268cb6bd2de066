package mls_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// exportedTypes are all exported types of this package and of suite.
var exportedTypes = map[string][]reflect.Type{
	".": {
		typeOf[mls.Add](), typeOf[mls.AppDataDictionary](), typeOf[mls.AppDataUpdate](), typeOf[mls.AppDataUpdateOperation](),
		typeOf[mls.AppEphemeral](), typeOf[mls.ApplicationFraming](), typeOf[mls.ApplicationMessage](), typeOf[mls.AuthenticatedData](),
		typeOf[mls.Capabilities](), typeOf[mls.Commit](), typeOf[mls.CommitInfo](), typeOf[mls.CommitOptions](), typeOf[mls.CommitResult](),
		typeOf[mls.CommitView](), typeOf[mls.CommittedProposal](), typeOf[mls.ComponentData](), typeOf[mls.ComponentID](),
		typeOf[mls.ComponentsList](), typeOf[mls.Config](), typeOf[mls.ContentType](), typeOf[mls.CreateParams](), typeOf[mls.Credential](),
		typeOf[mls.CredentialType](), typeOf[mls.EncryptedGroupSecrets](), typeOf[mls.Extension](), typeOf[mls.ExtensionType](),
		typeOf[mls.Extensions](), typeOf[mls.ExternalInit](), typeOf[mls.ExternalOptions](), typeOf[mls.ExternalSender](),
		typeOf[mls.FramedContent](), typeOf[mls.FramedContentAuthData](), typeOf[mls.Group](), typeOf[mls.GroupContext](),
		typeOf[mls.GroupContextExtensions](), typeOf[mls.GroupInfo](), typeOf[mls.GroupInfoFunc](), typeOf[mls.GroupInfoOptions](),
		typeOf[mls.GroupSecrets](), typeOf[mls.Joined](), typeOf[mls.KeyPackage](), typeOf[mls.KeyPackageParams](),
		typeOf[mls.KeyPackagePrivate](), typeOf[mls.KeyPackageRef](), typeOf[mls.LeafChange](), typeOf[mls.LeafIndex](), typeOf[mls.LeafNode](),
		typeOf[mls.LeafNodeSource](), typeOf[mls.LeafParams](), typeOf[mls.Limits](), typeOf[mls.MLSMessage](), typeOf[mls.MediaType](),
		typeOf[mls.MediaTypeList](), typeOf[mls.MediaTypeParameter](), typeOf[mls.Member](), typeOf[mls.NextEpoch](), typeOf[mls.Node](),
		typeOf[mls.PSKType](), typeOf[mls.PartialGroupInfo](), typeOf[mls.RatchetTreePresence](),
		typeOf[mls.ParentNode](), typeOf[mls.PendingCommit](), typeOf[mls.PendingProposal](), typeOf[mls.Policy](),
		typeOf[mls.PreSharedKey](), typeOf[mls.PreSharedKeyID](), typeOf[mls.PrivateMessage](), typeOf[mls.Proposal](),
		typeOf[mls.ProposalBody](), typeOf[mls.ProposalOrRef](), typeOf[mls.ProposalRef](), typeOf[mls.ProposalResult](),
		typeOf[mls.ProposalType](), typeOf[mls.ProposalView](), typeOf[mls.ProtocolVersion](), typeOf[mls.PublicGroup](),
		typeOf[mls.PublicMessage](), typeOf[mls.RatchetTree](), typeOf[mls.ReInit](), typeOf[mls.Remove](), typeOf[mls.RequiredCapabilities](),
		typeOf[mls.Result](), typeOf[mls.ResumptionPSKUsage](), typeOf[mls.Row](), typeOf[mls.SafeAAD](), typeOf[mls.SelfRemove](),
		typeOf[mls.Sender](), typeOf[mls.SenderType](), typeOf[mls.Staged](), typeOf[mls.SuccessorParams](), typeOf[mls.Update](),
		typeOf[mls.UpdatePath](), typeOf[mls.UpdatePathNode](), typeOf[mls.View](), typeOf[mls.Welcome](), typeOf[mls.WireFormat](),
		typeOf[mls.WireFormats](),
	},
	"suite": {typeOf[suite.HPKECiphertext](), typeOf[suite.HPKEPrivateKey](), typeOf[suite.ID](), typeOf[suite.Secret](), typeOf[suite.SignatureKey](), typeOf[suite.Suite]()},
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// TestExportedTypesAreListed keeps the list above complete.
func TestExportedTypesAreListed(t *testing.T) {
	for dir, types := range exportedTypes {
		listed := map[string]bool{}
		for _, typ := range types {
			listed[typ.Name()] = true
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", dir, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, s := range g.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && !ts.Assign.IsValid() && !listed[ts.Name.Name] {
						t.Errorf("%s: type %s is not listed in exportedTypes", name, ts.Name.Name)
					}
				}
			}
		}
	}
}

// A leak looks for secrets in texts.
type leak struct {
	t       *testing.T
	secrets [][]byte
	forms   []string
}

// add looks for these secrets from now on, in all forms in which octets are
// printed. Short ones would be found by chance.
func (l *leak) add(secrets ...[]byte) {
	l.t.Helper()
	for _, s := range secrets {
		if len(s) < 16 {
			l.t.Fatalf("a secret of %d octets", len(s))
		}
		l.secrets = append(l.secrets, s)
		part := s[:12] // base64 does not depend on what follows
		decimal := strings.Trim(fmt.Sprint(part), "[]")
		syntax := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte{"), "}")
		l.forms = append(l.forms, string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
			base64.StdEncoding.EncodeToString(part), base64.URLEncoding.EncodeToString(part), decimal, strings.ReplaceAll(decimal, " ", ","), syntax,
			fmt.Sprintf("% x", part), strings.Trim(fmt.Sprintf("%q", part), `"`))
	}
}

func (l *leak) search(what, text string) {
	l.t.Helper()
	for _, f := range l.forms {
		if strings.Contains(text, f) {
			l.t.Errorf("%s shows a secret", what)
			return
		}
	}
}

// print formats a value in every way, alone and inside of others.
func (l *leak) print(v any) {
	l.t.Helper()
	type hidden struct{ v any }
	type open struct{ V any }

	holders := []any{v, open{v}, []any{v}, map[string]any{"v": v}}
	switch v.(type) {
	case mls.Row, *mls.Row, []mls.Row:
		// Rows go to the store, whose business are octets: fmt prints them as the
		// value of an unexported field, where it asks no method.
	default:
		holders = append(holders, hidden{v}, &hidden{v})
	}
	for _, w := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "% x"} {
			l.search(fmt.Sprintf("%s of %T with %T", verb, w, v), fmt.Sprintf(verb, w))
		}
		if b, err := json.Marshal(w); err == nil {
			l.search(fmt.Sprintf("JSON of %T", v), string(b))
		} else {
			l.search(fmt.Sprintf("the JSON error of %T", v), err.Error())
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("message", "v", w)
			l.search(fmt.Sprintf("the log of %T", v), b.String())
		}
	}
	if err, ok := v.(error); ok {
		l.search("the error "+err.Error(), err.Error())
	}
}

// filler puts secrets into every field that is made for one.
type filler struct {
	secret    suite.Secret
	hpke      suite.HPKEPrivateKey
	signature suite.SignatureKey
	filled    int
}

func (f *filler) fill(v reflect.Value, depth int) {
	if !v.CanSet() || depth > 6 {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *suite.Secret:
		*p = f.secret
		f.filled++
		return
	case *suite.HPKEPrivateKey:
		*p = f.hpke
		f.filled++
		return
	case *suite.SignatureKey:
		*p = f.signature
		f.filled++
		return
	case *mls.Row:
		*p = mls.Row{Key: "key", Value: f.secret.Bytes(), Secret: true}
		f.filled++
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), depth+1)
		}
	default:
	}
}

func newFiller(t *testing.T) *filler {
	t.Helper()
	s, err := suite.Lookup(mls.X25519)
	if err != nil {
		t.Fatal(err)
	}
	f := &filler{secret: suite.NewSecret([]byte("a secret of thirty-two octets, 1"))}
	if f.hpke, err = s.GenerateHPKEKey(mlstest.Random("hpke")); err != nil {
		t.Fatal(err)
	}
	if f.signature, err = s.GenerateSignatureKey(mlstest.Random("signature")); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSecretsOfEveryTypeAreHidden fills all exported types with secrets, as far
// as they have fields for them, and prints them; then those which hold secrets
// where nobody can see them.
func TestSecretsOfEveryTypeAreHidden(t *testing.T) {
	f := newFiller(t)
	l := &leak{t: t}
	l.add(f.secret.Bytes(), f.hpke.Secret().Bytes(), f.signature.Seed().Bytes())
	for _, types := range exportedTypes {
		for _, typ := range types {
			v := reflect.New(typ)
			f.fill(v.Elem(), 0)
			l.print(v.Interface())
			l.print(v.Elem().Interface())
		}
	}
	if f.filled < 15 {
		t.Errorf("only %d fields were filled", f.filled)
	}
}

// TestSecretsOfGroupsAreHidden prints what holds the secrets of a group that
// lives, and the errors of all that can go wrong with them.
func TestSecretsOfGroupsAreHidden(t *testing.T) {
	w := three(t)
	a, b := w.Node("A"), w.Node("B")
	l := &leak{t: t}
	var next *mls.NextEpoch
	kp := keyPackage(t, w, "dan/1")
	l.add(kp.InitKey.Secret().Bytes(), kp.EncryptionKey.Secret().Bytes(), kp.SignatureKey.Seed().Bytes())
	p, err := a.Group.Commit(t.Context(), 0, mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: kp.KeyPackage}},
		GroupInfo: func(n *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
			next = n
			return mls.GroupInfoOptions{ExternalPub: true}, mls.GroupInfoOptions{RatchetTree: true}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.add(mls.Secrets(a.Group)...)
	l.add(mls.Secrets(b.Group)...)
	exported, err := next.Export("label", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	authenticator := a.Group.EpochAuthenticator()
	l.add(exported.Bytes(), authenticator.Bytes())
	rows := a.Group.Dirty()
	staged, err := w.Hub.Stage(t.Context(), p.Message)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		a.Group, *a.Group, b.Group, p, *p, next, *next, kp, *kp, rows, a.Group.View(), w.Hub, *w.Hub, staged, *staged, a.Group.PendingProposals(), exported, authenticator,
	} {
		l.print(v)
	}
	for _, err := range secretErrors(t, w, kp, p) {
		l.print(err)
	}
}

// secretErrors makes whatever has secrets at hand fail.
func secretErrors(t *testing.T, w *mlstest.World, kp *mls.KeyPackagePrivate, p *mls.PendingCommit) []error {
	t.Helper()
	var errs []error
	b := w.Node("B")
	b.Disk.Write(b.Group.Dirty())
	for key, r := range b.Disk {
		for _, value := range [][]byte{r.Value[:len(r.Value)-1], append(bytes.Clone(r.Value), 0), bytes.Repeat(r.Value, 2)} {
			disk := mlstest.Disk{}
			disk.Write(b.Disk.Rows())
			disk[key] = mls.Row{Key: key, Value: value, Secret: r.Secret}
			if _, err := mls.LoadGroup(b.Config, disk.Rows()); err != nil {
				errs = append(errs, err)
			}
		}
		disk := mlstest.Disk{}
		disk.Write(b.Disk.Rows())
		delete(disk, key)
		disk[key+"x"] = r
		if _, err := mls.LoadGroup(b.Config, disk.Rows()); err != nil {
			errs = append(errs, err)
		}
	}
	stored, err := kp.MarshalSecret()
	if err != nil {
		t.Fatal(err)
	}
	_, err = mls.UnmarshalKeyPackagePrivate(suite.NewSecret(stored.Bytes()[1:]))
	errs = append(errs, err)
	_, err = mls.AssembleKeyPackage(&kp.KeyPackage, kp.EncryptionKey.Secret(), kp.InitKey.Secret(), kp.SignatureKey.Seed())
	errs = append(errs, err)
	_, err = mls.AssembleKeyPackage(&kp.KeyPackage, kp.SignatureKey.Seed().Clone(), stored, stored)
	errs = append(errs, err)
	other := keyPackage(t, w, "eve/1")
	wrong := *kp
	wrong.InitKey = other.InitKey
	_, _, err = mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), p.Welcome, &wrong, nil)
	errs = append(errs, err)
	poisoned := mlstest.Again(t, p.MLSMessage())
	poisoned.PublicMessage.Auth.ConfirmationTag[0] ^= 1
	mls.Retag(t, w.Node("A").Group, poisoned.PublicMessage)
	_, err = b.Group.Process(t.Context(), poisoned)
	errs = append(errs, err)
	for i, err := range errs {
		if err == nil {
			t.Errorf("attempt %d of %d does not fail", i, len(errs))
		}
	}
	if len(errs) < 20 {
		t.Errorf("only %d errors", len(errs))
	}
	return append(errs, errors.Join(errs...))
}
