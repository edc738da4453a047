//go:build tools

// Package kubo pins the version of Kubo that the interop tests and the bench build.
package kubo

import _ "github.com/ipfs/kubo/cmd/ipfs"
