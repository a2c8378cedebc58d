#include "textflag.h"

// func Prefetch(base *byte, lines []uint32)
TEXT ·Prefetch(SB), NOSPLIT, $0-32
	MOVQ base+0(FP), SI
	MOVQ lines_base+8(FP), DI
	MOVQ lines_len+16(FP), CX
	JMP  test

fetch:
	MOVL       -4(DI)(CX*4), AX
	SHLQ       $6, AX
	PREFETCHT0 (SI)(AX*1)
	DECQ       CX

test:
	TESTQ CX, CX
	JNZ   fetch
	RET
