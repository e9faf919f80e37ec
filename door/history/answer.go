package history

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

// What is wrong with the history, one word each.
const (
	reasonDown    = "database_down"    // no answer, or one that says later
	reasonToken   = "database_token"   // the token is not taken
	reasonBucket  = "database_bucket"  // there is no such bucket or organisation
	reasonTLS     = "database_tls"     // its certificate is not trusted
	reasonRefuses = "database_refuses" // it takes nothing that it is sent
	reasonFile    = "history_file"     // the token's or the CA's file cannot be used
	reasonJournal = "journal_unread"   // the journal cannot be read
)

// refuses reports whether an answer is about what was sent. Of a bucket or token that is wrong
// a server also says 400 at times; then it takes nothing, by which it is told apart.
func refuses(err error) bool {
	var answer *influxhttp.Error
	if errors.Is(err, errLine) {
		return true
	}
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return true
	}
	return false
}

// distrusted reports whether one side did not take what the other showed: a token or a certificate.
func distrusted(err error) bool {
	if err == nil {
		return false
	}
	reason, _ := explain(err)
	return reason == reasonToken || reason == reasonTLS
}

// outlived returns how many of the points sent are older than the bucket keeps any. The server
// has then taken all others, and would drop these at once; it says so as
// "partial write: points beyond retention policy dropped=3".
func outlived(err error) int {
	var answer *influxhttp.Error
	if !errors.As(err, &answer) || !refuses(err) {
		return 0
	}
	_, count, ok := strings.Cut(answer.Error(), "points beyond retention policy dropped=")
	if !ok {
		return 0
	}
	n := 0
	fmt.Sscan(count, &n) //nolint:errcheck // without a number it counts as one
	return max(n, 1)
}

// retryAfter is how long the server asks to wait; 0 when it does not, and no longer than an hour.
func retryAfter(err error) time.Duration {
	var answer *influxhttp.Error
	if !errors.As(err, &answer) {
		return 0
	}
	return min(time.Duration(answer.RetryAfter)*time.Second, time.Hour)
}

// cause is an error without the address that was asked, which the settings tell.
func cause(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		return asked.Err
	}
	return err
}

// explain says what is wrong, in a word and for people.
func explain(err error) (reason, detail string) {
	var answer *influxhttp.Error
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrFile):
		return reasonFile, err.Error()
	case errors.Is(err, errRefused):
		return reasonRefuses, err.Error()
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &verify):
		return reasonTLS, fmt.Sprintf("the database's certificate is not trusted: name its CA as history.ca, and its name in url: %v", cause(err))
	case !errors.As(err, &answer):
		return reasonJournal, err.Error()
	case answer.StatusCode == 0:
		return reasonDown, fmt.Sprintf("no answer from the database: is it running, and history.url right? %v", cause(err))
	}
	said := fmt.Sprintf("it says %d %.200s", answer.StatusCode, strings.TrimSpace(cmp.Or(answer.Message, http.StatusText(answer.StatusCode))))
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return reasonToken, "the database does not take the token: give one in token_file that may write to the bucket: " + said
	case http.StatusNotFound:
		return reasonBucket, "the database has no such bucket or organisation: make it, or correct history.bucket and history.org: " + said
	}
	return reasonDown, "the database cannot take it now: " + said
}
