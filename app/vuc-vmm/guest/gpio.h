/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_GUEST_GPIO_H
#define VMM_GUEST_GPIO_H

/* The device of libvfio-user's sample gpio-pci-idio-16, for the assembler. */

#define GPIO_IDS 0x0dc8494f /* device and vendor */

#define GPIO_OUTPUT 0 /* of pins 0 to 7; setting a bit counts how often that was done */
#define GPIO_INPUT  1 /* of the same: a bit is set when that count is divisible by 3 */
#define GPIO_PIN_3  0x08

#endif /* VMM_GUEST_GPIO_H */
