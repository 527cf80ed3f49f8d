# SPDX-License-Identifier: GPL-2.0-or-later
# Compiler flags for all our targets: warnings always, the rest by preset.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
# Assertions stay on in what is installed: a daemon that has lost count must not go on.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

option(QFX_WERROR "warnings are errors" OFF)
option(QFX_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(QFX_HARDEN "stack protector, FORTIFY, PIE, RELRO, now" OFF)
option(QFX_FUZZ "build the fuzz targets (clang)" OFF)
option(QFX_COVERAGE "count which lines are run" OFF)
option(QFX_CRASH_POINTS "build what ends our programs between two side effects, for tests" OFF)

add_compile_options(-Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes
	-Wmissing-prototypes -Wmissing-declarations -Wold-style-definition -Wswitch-enum
	-Wconversion -Wpointer-arith -Wundef -Wcast-qual -fvisibility=hidden)
if(QFX_WERROR)
	add_compile_options(-Werror)
endif()
if(QFX_SANITIZE)
	add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
	add_link_options(-fsanitize=address,undefined)
endif()
if(QFX_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
	add_link_options(-fsanitize=address,undefined)
endif()
if(QFX_COVERAGE)
	# Atomic: many processes of the tests, and threads of GLib, count at the same time.
	add_compile_options(--coverage -fprofile-update=atomic)
	add_link_options(--coverage)
endif()
if(QFX_HARDEN)
	add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
	add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed)
	# The same bytes wherever it was built.
	add_compile_options(-ffile-prefix-map=${CMAKE_BINARY_DIR}=. -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
endif()
