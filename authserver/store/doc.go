// Package store keeps what package account decides about: its Store interface
// in SQL, the migrations, and the files they live in.
//
// It owns transactions, constraints and file modes. It holds no rule that is not
// also a constraint of the schema, and it opens no sealed key. What both engines
// must do is package storetest; SQLite is the engine here.
package store
