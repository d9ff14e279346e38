/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The program in the guest: 32-bit code with flat segments and without paging, as the VMM sets it
 * up. It is read-only data of the VMM, which copies it to GUEST_IMAGE.
 *
 * Some hosts interpret all that a guest does, and know fewer instructions than a CPU does: there is
 * no IRET here and no fence, and no loop that runs for long.
 *
 * Functions keep %ebx, %esi, %edi and %ebp unless they say otherwise.
 */

#include <linux/pci_regs.h>

#include "../../vuc-refdev/refdev_regs.h"
#include "abi.h"

#define REFDEV_IDS (REFDEV_DEVICE_ID << 16 | REFDEV_VENDOR_ID)

#define REFDEV_REG_SET(name, offset, bytes, access) .set REFDEV_REG_##name, offset;
REFDEV_REGS(REFDEV_REG_SET)

#define GUEST_STEP_SET(name, number, text) .set GUEST_STEP_##name, number;
GUEST_STEPS(GUEST_STEP_SET)

/* The device of libvfio-user's sample gpio-pci-idio-16, for the assembler. */

#define GPIO_IDS 0x0dc8494f /* device and vendor */

#define GPIO_OUTPUT 0 /* of pins 0 to 7; setting a bit counts how often that was done */
#define GPIO_INPUT  1 /* of the same: a bit is set when that count is divisible by 3 */
#define GPIO_PIN_3  0x08

/* The address of a label. As all labels are in this section, the linker has nothing to do. */
#define AT(label) (GUEST_IMAGE + (label) - guest_image)

#define CODE_SEGMENT 8 /* those that the VMM has loaded */

/* Interrupts of MSI-X vectors 0 and 1. */
#define VECTOR_0 0x40
#define VECTORS  2

#define APIC          0xfee00000
#define APIC_EOI      0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ON       0x1ff /* enabled, spurious interrupts at vector 0xff */

	.macro	TELL port, value
	mov	\value, %eax
	out	%eax, $\port
	.endm

	.macro	STEP step
	TELL	GUEST_PORT_STEP, $\step
	.endm

	/* %eax has to be this value. */
	.macro	EXPECT value
	mov	\value, %edx
	call	expect
	.endm

	/* Have so many rounds of an instruction timed, one by one. It may change %eax and %edx. */
	.macro	TIME series, instruction:vararg
	mov	$(GUEST_TICKS + \series * GUEST_MAX_ROUNDS * 4), %edi
	in	$GUEST_PORT_ROUNDS, %eax
	mov	%eax, %esi
99:	rdtsc
	mov	%eax, %ebx
	\instruction
	rdtsc
	sub	%ebx, %eax
	stosl
	dec	%esi
	jnz	99b
	TELL	GUEST_PORT_SERIES, $\series
	.endm

	.section .rodata.guest, "a", @progbits
	.balign	16
	.globl	guest_image, guest_image_end
	.code32

guest_image:
	mov	$GUEST_STACK, %esp
	lgdt	AT(gdt_pointer)
	lidt	AT(idt_pointer)
	movl	$APIC_ON, APIC + APIC_SPURIOUS
	STEP	GUEST_STEP_SCAN
	call	find_device
	STEP	GUEST_STEP_BARS
	call	place_bars
	in	$GUEST_PORT_PROGRAM, %eax
	cmp	$GUEST_TORMENT, %eax
	je	torment
	cmpl	$REFDEV_IDS, AT(ids)
	je	refdev
	cmpl	$GPIO_IDS, AT(ids)
	je	drive_gpio
	mov	$GUEST_NO_DRIVER, %eax
	jmp	finish

pass:
	mov	$GUEST_PASS, %eax
	/* Falls through. */

/* The VMM does not come back from this. %eax: the result. */
finish:
	out	%eax, $GUEST_PORT_RESULT
	jmp	finish

/* Fail unless %eax is %edx, or something went wrong because the device was reset meanwhile. */
expect:
	cmp	%edx, %eax
	jne	1f
	ret
1:	mov	%eax, %ecx
	in	$GUEST_PORT_PROGRAM, %eax
	cmp	$GUEST_RECOVER, %eax
	jne	2f
	in	$GUEST_PORT_AMISS, %eax
	cmp	%eax, AT(resets)
	jne	refdev_recover
2:	mov	%ecx, %eax
	out	%eax, $GUEST_PORT_SEEN
	TELL	GUEST_PORT_EXPECTED, %edx
	mov	$GUEST_FAIL, %eax
	jmp	finish

/*
 * Where interrupts go. They are on in wait_interrupts only, which wants them off when one has come:
 * so this returns without the flags.
 */
interrupt:
	incl	AT(interrupts)
	movl	$0, APIC + APIC_EOI
	lret	$4

/* Sleep until there have been %eax interrupts. */
wait_interrupts:
1:	cmp	%eax, AT(interrupts)
	jae	2f
	sti		/* holds for the next instruction but one: none is missed */
	hlt
	cli
	jmp	1b
2:	ret

#include "pci.inc"
#include "refdev.inc"
#include "gpio.inc"
#include "torment.inc"

	.balign	8
interrupts:
	.long	0
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* code */
	.quad	0x00cf93000000ffff	/* data */
gdt_pointer:
	.word	gdt_pointer - gdt - 1
	.long	AT(gdt)

	.balign	8
idt:
	.fill	VECTOR_0, 8, 0
	.rept	VECTORS
	.word	interrupt - guest_image, CODE_SEGMENT, 0x8e00, GUEST_IMAGE >> 16
	.endr
idt_pointer:
	.word	idt_pointer - idt - 1
	.long	AT(idt)

guest_image_end:
	.section .note.GNU-stack, "", @progbits
