package xsk

//go:generate go tool bpf2go -target bpfel -type service -type wide -type station -type flow -type way -cflags "-O2 -Wall -Werror -g -fdebug-compilation-dir=. -ffile-prefix-map=/usr/include=include -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu" filter bpf/filter.bpf.c
