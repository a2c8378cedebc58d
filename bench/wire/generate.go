package wire

//go:generate go tool bpf2go -target bpfel -cflags "-O2 -Wall -Werror -g -fdebug-compilation-dir=. -ffile-prefix-map=/usr/include=include" wire bpf/wire.bpf.c -- -I/usr/include/x86_64-linux-gnu
