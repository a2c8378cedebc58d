#include "textflag.h"

// func prefetchLines(base unsafe.Pointer, lines []uint32)
TEXT ·prefetchLines(SB), NOSPLIT, $0-32
	MOVQ base+0(FP), AX
	MOVQ lines_base+8(FP), BX
	MOVQ lines_len+16(FP), CX
	TESTQ CX, CX
	JZ   done

next:
	MOVL (BX), DX
	SHLQ $6, DX
	PREFETCHT0 (AX)(DX*1)
	ADDQ $4, BX
	DECQ CX
	JNZ  next

done:
	RET
