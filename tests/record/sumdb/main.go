// Verifies a log with nothing but Go's own checksum database library: the notes of its checkpoints, that each grows into
// the next, and that every entry is in the tree, with proofs made from the log's tiles and with those the log made itself.
//
//	sumdb KEY LOG CHECKPOINT...    checkpoints in order of size; proofs are read from the standard input
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles are read from the folder of a log, whose paths leave out the height that the library puts into them.
type tiles string

func (folder tiles) Height() int { return 8 }

func (folder tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (folder tiles) ReadTiles(wanted []tlog.Tile) (found [][]byte, err error) {
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := os.ReadFile(filepath.Join(string(folder), path))
		if err != nil {
			return nil, err
		}
		found = append(found, content)
	}
	return found, nil
}

func main() {
	log.SetFlags(0)
	key, folder, checkpoints := os.Args[1], tiles(os.Args[2]), os.Args[3:]
	verifier, err := note.NewVerifier(key)
	check(err)
	trees := []tlog.Tree{}
	for _, file := range checkpoints {
		trees = append(trees, open(file, verifier))
	}
	newest := trees[len(trees)-1]
	reader := tlog.TileHashReader(newest, folder)
	for _, old := range trees[:len(trees)-1] {
		proof, err := tlog.ProveTree(newest.N, old.N, reader)
		check(err)
		check(tlog.CheckTree(proof, newest.N, newest.Hash, old.N, old.Hash))
	}
	fmt.Println(len(trees), "checkpoints")
	fmt.Println(entries(folder, newest, reader), "entries")
	fmt.Println(proofs(trees), "proofs")
}

// open gives the tree that a checkpoint is of, if the key has signed it.
func open(file string, verifier note.Verifier) (tree tlog.Tree) {
	content, err := os.ReadFile(file)
	check(err)
	opened, err := note.Open(content, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	_, err = fmt.Sscanf(lines[1], "%d", &tree.N)
	check(err)
	tree.Hash, err = tlog.ParseHash(lines[2])
	check(err)
	return tree
}

// entries reads all of them from the bundles, proves each to be in the tree, and counts them.
func entries(folder tiles, tree tlog.Tree, reader tlog.HashReader) (index int64) {
	for index < tree.N {
		tile := tlog.Tile{H: 8, L: 0, N: index / 256, W: 256}
		if left := tree.N - index; left < 256 {
			tile.W = int(left)
		}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		bundle, err := os.ReadFile(filepath.Join(string(folder), path))
		check(err)
		for len(bundle) > 0 {
			length := 2 + int(binary.BigEndian.Uint16(bundle))
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			check(err)
			check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(bundle[2:length])))
			bundle = bundle[length:]
			index++
		}
	}
	return index
}

// proofs checks those that the log made: "inclusion INDEX LEAF HASH..." in the newest tree, and
// "consistency SIZE HASH..." from an older one to it.
func proofs(trees []tlog.Tree) (count int) {
	newest := trees[len(trees)-1]
	lines := bufio.NewScanner(os.Stdin)
	for ; lines.Scan(); count++ {
		words := strings.Fields(lines.Text())
		var number int64
		_, err := fmt.Sscanf(words[1], "%d", &number)
		check(err)
		hashes := []tlog.Hash{}
		for _, word := range words[2:] {
			hash, err := tlog.ParseHash(word)
			check(err)
			hashes = append(hashes, hash)
		}
		if words[0] == "inclusion" {
			check(tlog.CheckRecord(hashes[1:], newest.N, newest.Hash, number, hashes[0]))
			continue
		}
		for _, old := range trees {
			if old.N == number {
				check(tlog.CheckTree(hashes, newest.N, newest.Hash, old.N, old.Hash))
			}
		}
	}
	return count
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
