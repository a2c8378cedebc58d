package health

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what a key file may be encrypted with
	"crypto/md5" //nolint:gosec // how PEM's own encryption derives its key (RFC 1423)
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// maxIterations bounds what a key file may make the director compute: some seconds.
const maxIterations = 10_000_000

// decryptKey returns a PEM file of keys with the encrypted ones in the clear: PKCS #8 with PBES2 (RFC 8018), as
// openssl genpkey writes, and the older one of PEM (RFC 1423, "DEK-Info").
func decryptKey(file []byte, password string) ([]byte, error) {
	var out []byte
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			block.Bytes, err = decryptPKCS8(block.Bytes, password)
			block.Type = "PRIVATE KEY"
		case block.Headers["DEK-Info"] != "":
			block.Bytes, err = decryptPEM(block, password)
			block.Headers = nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(block)...)
	}
	if out == nil {
		return nil, errors.New("no PEM")
	}
	return out, nil
}

// errPassword is the usual reason for plain text that is none.
var errPassword = errors.New("wrong password")

// algorithm is an AlgorithmIdentifier (RFC 5280, 4.1.1.2).
type algorithm struct {
	ID         asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

// The object identifiers of RFC 8018, appendix C, and of AES (NIST).
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidDESEDE3    = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidAES128     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958, 3).
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info struct {
		Algorithm algorithm
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}
	if !info.Algorithm.ID.Equal(oidPBES2) {
		return nil, fmt.Errorf("encrypted key: only PBES2 is served, not %v", info.Algorithm.ID)
	}
	var pbes2 struct{ Derivation, Cipher algorithm } // RFC 8018, A.4
	if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &pbes2); err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}
	size, newCipher, err := cipherOf(pbes2.Cipher.ID)
	if err != nil {
		return nil, err
	}
	key, err := deriveKey(pbes2.Derivation, password, size)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(pbes2.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}
	return decryptCBC(newCipher, key, iv, info.Data)
}

// cipherOf is the block cipher of an identifier, and the length of its key.
func cipherOf(id asn1.ObjectIdentifier) (int, func([]byte) (cipher.Block, error), error) {
	switch {
	case id.Equal(oidAES128):
		return 16, aes.NewCipher, nil
	case id.Equal(oidAES192):
		return 24, aes.NewCipher, nil
	case id.Equal(oidAES256):
		return 32, aes.NewCipher, nil
	case id.Equal(oidDESEDE3):
		return 24, des.NewTripleDESCipher, nil
	}
	return 0, nil, fmt.Errorf("encrypted key: cipher %v is not served", id)
}

// deriveKey makes the key of a password by PBKDF2 (RFC 8018, A.2).
func deriveKey(a algorithm, password string, size int) ([]byte, error) {
	if !a.ID.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("encrypted key: only PBKDF2 is served, not %v", a.ID)
	}
	var p struct {
		Salt       []byte
		Iterations int
		Length     int       `asn1:"optional"`
		PRF        algorithm `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(a.Parameters.FullBytes, &p); err != nil {
		return nil, fmt.Errorf("encrypted key: %w", err)
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("encrypted key: %d iterations", p.Iterations)
	}
	var h func() hash.Hash
	switch {
	case len(p.PRF.ID) == 0, p.PRF.ID.Equal(oidHMACSHA1):
		h = sha1.New
	case p.PRF.ID.Equal(oidHMACSHA256):
		h = sha256.New
	case p.PRF.ID.Equal(oidHMACSHA512):
		h = sha512.New
	default:
		return nil, fmt.Errorf("encrypted key: hash %v is not served", p.PRF.ID)
	}
	return pbkdf2.Key(h, password, p.Salt, p.Iterations, size)
}

// decryptPEM opens a block that says itself how it is encrypted (RFC 1423, 1.1; the key is made as OpenSSL does, by one
// round of MD5 over password and salt).
func decryptPEM(b *pem.Block, password string) ([]byte, error) {
	name, ivText, _ := strings.Cut(b.Headers["DEK-Info"], ",")
	iv, err := hex.DecodeString(strings.TrimSpace(ivText))
	if err != nil || len(iv) < 8 {
		return nil, fmt.Errorf("encrypted key: bad DEK-Info %q", b.Headers["DEK-Info"])
	}
	oid := map[string]asn1.ObjectIdentifier{
		"AES-128-CBC": oidAES128, "AES-192-CBC": oidAES192, "AES-256-CBC": oidAES256, "DES-EDE3-CBC": oidDESEDE3,
	}[name]
	size, newCipher, err := cipherOf(oid)
	if err != nil {
		return nil, fmt.Errorf("encrypted key: cipher %s is not served", name)
	}
	var key, last []byte
	for len(key) < size {
		sum := md5.Sum(append(append(last, password...), iv[:8]...)) //nolint:gosec // RFC 1423
		last = sum[:]
		key = append(key, last...)
	}
	return decryptCBC(newCipher, key[:size], iv, b.Bytes)
}

// decryptCBC decrypts in place and takes off the padding (RFC 8018, 6.1.1).
func decryptCBC(newCipher func([]byte) (cipher.Block, error), key, iv, text []byte) ([]byte, error) {
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	n := block.BlockSize()
	if len(iv) != n || len(text) == 0 || len(text)%n != 0 {
		return nil, errors.New("encrypted key: lengths do not fit its cipher")
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, text)
	pad := int(text[len(text)-1])
	if pad < 1 || pad > n {
		return nil, errPassword
	}
	for _, c := range text[len(text)-pad:] {
		if int(c) != pad {
			return nil, errPassword
		}
	}
	return text[:len(text)-pad], nil
}
