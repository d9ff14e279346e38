-- SPDX-License-Identifier: BSD-3-Clause
--
-- Dissector of vfio-user for Wireshark and tshark (4.0 and later): captures of "vucctl capture" and
-- "vucctl --capture". docs/captures.md in the sources of vuc describes their format.
--
--     tshark -X lua_script:vfio_user.lua -r FILE
--
-- Messages are in the byte order of the host that sent them, which is taken to be little-endian.

local vfio_user = Proto("vfio_user", "vfio-user")

local PSEUDO_SIZE = 12
local HEADER_SIZE = 16
local DLT_ENCAP = wtap_encaps ~= nil and wtap_encaps.USER10 or wtap.USER10
local MAX_ENTRIES = 4096 -- of an array that are shown one by one

---------------------------------------------------------------------------------------- values --

local COMMANDS = {
    [1] = "VERSION", [2] = "DMA_MAP", [3] = "DMA_UNMAP", [4] = "DEVICE_GET_INFO",
    [5] = "DEVICE_GET_REGION_INFO", [6] = "DEVICE_GET_REGION_IO_FDS", [7] = "DEVICE_GET_IRQ_INFO",
    [8] = "DEVICE_SET_IRQS", [9] = "REGION_READ", [10] = "REGION_WRITE", [11] = "DMA_READ",
    [12] = "DMA_WRITE", [13] = "DEVICE_RESET", [15] = "REGION_WRITE_MULTI",
    [16] = "DEVICE_FEATURE", [17] = "MIG_DATA_READ", [18] = "MIG_DATA_WRITE",
}
local FROM_SERVER = { [11] = true, [12] = true } -- commands
local TYPES = { [0] = "Command", [1] = "Reply" }
local REGIONS = {
    [0] = "BAR0", [1] = "BAR1", [2] = "BAR2", [3] = "BAR3", [4] = "BAR4", [5] = "BAR5",
    [6] = "ROM", [7] = "config space", [8] = "VGA",
}
local IRQS = { [0] = "INTx", [1] = "MSI", [2] = "MSI-X", [3] = "ERR", [4] = "REQ" }
local CAPABILITIES = { [1] = "SPARSE_MMAP", [2] = "TYPE", [3] = "MSIX_MAPPABLE" }
local IO_FD_TYPES = { [0] = "ioeventfd", [1] = "ioregionfd", [2] = "ioeventfd shadow" }
local FEATURES = {
    [1] = "MIGRATION", [2] = "MIG_DEVICE_STATE", [6] = "DMA_LOGGING_START",
    [7] = "DMA_LOGGING_STOP", [8] = "DMA_LOGGING_REPORT",
}
local STATES = {
    [0] = "ERROR", [1] = "STOP", [2] = "RUNNING", [3] = "STOP_COPY", [4] = "RESUMING",
    [5] = "RUNNING_P2P", [6] = "PRE_COPY", [7] = "PRE_COPY_P2P",
}
local ERRORS = { -- of Linux, those that servers send
    [0] = "none", [1] = "EPERM", [2] = "ENOENT", [5] = "EIO", [6] = "ENXIO", [7] = "E2BIG", [9] = "EBADF",
    [11] = "EAGAIN", [12] = "ENOMEM", [13] = "EACCES", [14] = "EFAULT", [16] = "EBUSY",
    [17] = "EEXIST", [19] = "ENODEV", [22] = "EINVAL", [24] = "EMFILE", [25] = "ENOTTY",
    [28] = "ENOSPC", [34] = "ERANGE", [38] = "ENOSYS", [71] = "EPROTO", [90] = "EMSGSIZE",
    [95] = "EOPNOTSUPP", [104] = "ECONNRESET", [107] = "ENOTCONN", [110] = "ETIMEDOUT",
}

---------------------------------------------------------------------------------------- fields --

local f = {} -- by name, without "vfio_user."

local function field(kind, name, title, ...)
    f[name] = ProtoField[kind]("vfio_user." .. name, title, ...)
end

local function flag(name, title, mask)
    f[name] = ProtoField.bool("vfio_user." .. name, title, 32, nil, mask)
end

-- What the capture has beside the message.
field("uint8", "capture.version", "Version")
field("bool", "capture.sent", "Sent by the client", 8, nil, 0x01)
field("bool", "capture.twin", "On the twin socket", 8, nil, 0x02)
field("uint16", "capture.nr_fds", "File descriptors")
field("uint32", "capture.connection", "Connection")
field("uint32", "capture.dropped", "Messages dropped before this one")

field("uint16", "msg_id", "Message ID", base.HEX)
field("uint16", "cmd", "Command", base.DEC, COMMANDS)
field("uint32", "msg_size", "Message size")
field("uint32", "flags", "Flags", base.HEX)
field("uint32", "flags.type", "Type", base.DEC, TYPES, 0x0000000f)
flag("flags.no_reply", "No reply", 0x00000010)
flag("flags.error", "Error", 0x00000020)
field("uint32", "error_no", "Error", base.DEC, ERRORS)

field("framenum", "response_in", "Reply in frame", base.NONE, frametype.RESPONSE)
field("framenum", "request_in", "Command in frame", base.NONE, frametype.REQUEST)
field("relative_time", "time", "Time since the command")

field("bytes", "data", "Data")
field("uint32", "argsz", "Argument size")

field("uint16", "version.major", "Major version")
field("uint16", "version.minor", "Minor version")
field("string", "version.data", "Version data")

field("uint32", "dma_map.flags", "Flags", base.HEX)
flag("dma_map.flags.read", "Readable", 0x1)
flag("dma_map.flags.write", "Writable", 0x2)
flag("dma_map.flags.mmap", "Map the file", 0x4)
flag("dma_map.flags.file_io", "Read and write the file", 0x8)
field("uint64", "dma_map.offset", "Offset in the file", base.HEX)
field("uint64", "dma_map.addr", "DMA address", base.HEX)
field("uint64", "dma_map.size", "Size", base.HEX)

field("uint32", "dma_unmap.flags", "Flags", base.HEX)
flag("dma_unmap.flags.get_dirty_bitmap", "Get dirty bitmap", 0x1)
flag("dma_unmap.flags.all", "All", 0x2)
field("uint64", "dma_unmap.addr", "DMA address", base.HEX)
field("uint64", "dma_unmap.size", "Size", base.HEX)
field("uint64", "bitmap.pgsize", "Page size", base.HEX)
field("uint64", "bitmap.size", "Size of the bitmap")
field("bytes", "bitmap.data", "Bitmap")

field("uint32", "device_info.flags", "Flags", base.HEX)
flag("device_info.flags.reset", "Reset", 0x1)
flag("device_info.flags.pci", "PCI", 0x2)
field("uint32", "device_info.num_regions", "Regions")
field("uint32", "device_info.num_irqs", "IRQ indexes")

field("uint32", "region_info.flags", "Flags", base.HEX)
flag("region_info.flags.read", "Readable", 0x1)
flag("region_info.flags.write", "Writable", 0x2)
flag("region_info.flags.mmap", "Can be mapped", 0x4)
flag("region_info.flags.caps", "Has capabilities", 0x8)
field("uint32", "region_info.index", "Region", base.DEC, REGIONS)
field("uint32", "region_info.cap_offset", "Capability offset")
field("uint64", "region_info.size", "Size", base.HEX)
field("uint64", "region_info.offset", "Offset in the file", base.HEX)
field("uint16", "cap.id", "Capability", base.DEC, CAPABILITIES)
field("uint16", "cap.version", "Version")
field("uint32", "cap.next", "Next capability")
field("uint32", "cap.nr_areas", "Areas")
field("uint64", "cap.area.offset", "Offset", base.HEX)
field("uint64", "cap.area.size", "Size", base.HEX)
field("uint32", "cap.type", "Type")
field("uint32", "cap.subtype", "Subtype")

field("uint32", "region_io_fds.flags", "Flags", base.HEX)
field("uint32", "region_io_fds.index", "Region", base.DEC, REGIONS)
field("uint32", "region_io_fds.count", "Sub-regions")
field("uint64", "sub_region.offset", "Offset", base.HEX)
field("uint64", "sub_region.size", "Size", base.HEX)
field("uint32", "sub_region.fd_index", "Index of the descriptor")
field("uint32", "sub_region.type", "Type", base.DEC, IO_FD_TYPES)
field("uint32", "sub_region.flags", "Flags", base.HEX)
field("uint32", "sub_region.shadow_mem_fd_index", "Index of the shadow's descriptor")
field("uint64", "sub_region.shadow_offset", "Offset of the shadow", base.HEX)
field("uint64", "sub_region.datamatch", "Value to match", base.HEX)
field("uint64", "sub_region.user_data", "User data", base.HEX)

field("uint32", "irq_info.flags", "Flags", base.HEX)
flag("irq_info.flags.eventfd", "Eventfd", 0x1)
flag("irq_info.flags.maskable", "Maskable", 0x2)
flag("irq_info.flags.automasked", "Masked when raised", 0x4)
flag("irq_info.flags.noresize", "Set together", 0x8)
field("uint32", "irq_info.index", "IRQ index", base.DEC, IRQS)
field("uint32", "irq_info.count", "Interrupts")

field("uint32", "irq_set.flags", "Flags", base.HEX)
flag("irq_set.flags.data_none", "No data", 0x01)
flag("irq_set.flags.data_bool", "Data: booleans", 0x02)
flag("irq_set.flags.data_eventfd", "Data: eventfds", 0x04)
flag("irq_set.flags.mask", "Mask", 0x08)
flag("irq_set.flags.unmask", "Unmask", 0x10)
flag("irq_set.flags.trigger", "Trigger", 0x20)
field("uint32", "irq_set.index", "IRQ index", base.DEC, IRQS)
field("uint32", "irq_set.start", "First vector")
field("uint32", "irq_set.count", "Vectors")
field("bytes", "irq_set.data", "Booleans")

field("uint64", "region.offset", "Offset", base.HEX)
field("uint32", "region.region", "Region", base.DEC, REGIONS)
field("uint32", "region.count", "Count")

field("uint64", "dma.addr", "DMA address", base.HEX)
field("uint64", "dma.count", "Count")

field("uint64", "write_multi.wr_cnt", "Writes")

field("uint32", "feature.flags", "Flags", base.HEX)
field("uint32", "feature.index", "Feature", base.DEC, FEATURES, 0x0000ffff)
flag("feature.flags.get", "Get", 0x10000)
flag("feature.flags.set", "Set", 0x20000)
flag("feature.flags.probe", "Probe", 0x40000)
field("uint64", "migration.flags", "Flags", base.HEX)
field("bool", "migration.flags.stop_copy", "Stop and copy", 64, nil, 0x1)
field("bool", "migration.flags.p2p", "P2P states", 64, nil, 0x2)
field("bool", "migration.flags.pre_copy", "Copy while running", 64, nil, 0x4)
field("uint32", "mig_state.device_state", "Device state", base.DEC, STATES)
field("uint32", "mig_state.data_fd", "Data descriptor")
field("uint64", "dma_logging.page_size", "Page size", base.HEX)
field("uint32", "dma_logging.num_ranges", "Ranges")
field("uint64", "dma_logging.iova", "DMA address", base.HEX)
field("uint64", "dma_logging.length", "Length", base.HEX)

field("uint32", "mig_data.size", "Size")

for _, one in pairs(f) do
    table.insert(vfio_user.fields, one)
end

local e = {
    error = ProtoExpert.new("vfio_user.expert.error", "Error reply", expert.group.RESPONSE_CODE,
        expert.severity.WARN),
    truncated = ProtoExpert.new("vfio_user.expert.truncated",
        "The message is longer than what was captured of it", expert.group.UNDECODED,
        expert.severity.NOTE),
    short = ProtoExpert.new("vfio_user.expert.short", "The message is too short for its fields",
        expert.group.MALFORMED, expert.severity.ERROR),
    size = ProtoExpert.new("vfio_user.expert.size", "Wrong message size", expert.group.MALFORMED,
        expert.severity.ERROR),
    unknown = ProtoExpert.new("vfio_user.expert.unknown", "Unknown command, type or flags",
        expert.group.PROTOCOL, expert.severity.WARN),
    direction = ProtoExpert.new("vfio_user.expert.direction",
        "A command that the other side sends", expert.group.PROTOCOL, expert.severity.WARN),
    orphan = ProtoExpert.new("vfio_user.expert.orphan", "A reply without a captured command",
        expert.group.SEQUENCE, expert.severity.NOTE),
    pending = ProtoExpert.new("vfio_user.expert.no_response", "A command without a captured reply",
        expert.group.SEQUENCE, expert.severity.NOTE),
    dropped = ProtoExpert.new("vfio_user.expert.dropped",
        "Messages before this one were dropped by the capture", expert.group.SEQUENCE,
        expert.severity.WARN),
    connection = ProtoExpert.new("vfio_user.expert.connection", "First message of a connection",
        expert.group.SEQUENCE, expert.severity.CHAT),
    capability = ProtoExpert.new("vfio_user.expert.capability",
        "The chain of capabilities is broken", expert.group.MALFORMED, expert.severity.ERROR),
    pseudo = ProtoExpert.new("vfio_user.expert.pseudo_header", "Not a capture of vucctl",
        expert.group.MALFORMED, expert.severity.ERROR),
}
vfio_user.experts = {
    e.error, e.truncated, e.short, e.size, e.unknown, e.direction, e.orphan, e.pending, e.dropped,
    e.connection, e.capability, e.pseudo,
}

---------------------------------------------------------------------------------------- bodies --

-- A body that is being read. Nothing is read behind its end: what would be is marked, once.
local Body = {}
Body.__index = Body

function Body.new(tvb, tree, cut)
    return setmetatable({ tvb = tvb, tree = tree, at = 0, cut = cut, info = "" }, Body)
end

function Body:left()
    return self.tvb and self.tvb:len() - self.at or 0
end

-- The range of the next bytes, or nil.
function Body:take(size)
    if self:left() < size then
        if not self.is_short and not self.cut then
            self.tree:add_proto_expert_info(e.short)
        end
        self.is_short = true
        return nil
    end
    self.at = self.at + size
    return size > 0 and self.tvb:range(self.at - size, size) or nil
end

local SIZES = { uint16 = 2, uint32 = 4, uint64 = 8 }

-- Add a number; returns it, of 64 bits as a UInt64, or nil.
function Body:number(kind, name)
    local range = self:take(SIZES[kind])
    if not range then
        return nil
    end
    self.last = self.tree:add_le(f[name], range)
    return kind == "uint64" and range:le_uint64() or range:le_uint()
end

function Body:u16(name)
    return self:number("uint16", name)
end

function Body:u32(name)
    return self:number("uint32", name)
end

function Body:u64(name)
    return self:number("uint64", name)
end

function Body:skip(size)
    self:take(size)
end

-- A number of flags, and each of them below it.
function Body:flags(name, bits, kind)
    local range = self:take(SIZES[kind or "uint32"])
    if not range then
        return nil
    end
    local tree = self.tree:add_le(f[name], range)
    for _, bit in ipairs(bits) do
        tree:add_le(f[bit:find(".", 1, true) and bit or name .. "." .. bit], range)
    end
    return kind == "uint64" and range:le_uint64() or range:le_uint()
end

-- The rest, as bytes of a field.
function Body:rest(name)
    if self:left() > 0 then
        self.tree:add(f[name or "data"], self:take(self:left()))
    end
end

-- A part of it that is shown below a line of its own: fn reads it.
function Body:group(title, fn)
    local tree = self.tree
    self.tree = tree:add(vfio_user, self.tvb:range(self.at, self:left()), title)
    fn()
    self.tree = tree
end

function Body:say(format, ...)
    self.info = self.info .. " " .. string.format(format, ...):gsub("%s+$", "")
end

-- A UInt64 without leading zeros.
local function hex(number)
    return "0x" .. number:tohex():gsub("^0+(%x)", "%1")
end

local function name_of(names, number)
    return names[number] or string.format("%u", number)
end

local function is_set(flags, bit)
    return math.floor(flags / bit) % 2 == 1
end

-- The booleans, "set" or not, of a flags number by name: for the summary.
local function flag_names(flags, names)
    local set = {}
    for i, name in ipairs(names) do
        if name ~= "" and is_set(flags, 2 ^ (i - 1)) then
            table.insert(set, name)
        end
    end
    return table.concat(set, "+")
end

local function version(body)
    local major, minor = body:u16("version.major"), body:u16("version.minor")
    if minor then
        body:say("%u.%u", major, minor)
    end
    if body:left() > 0 then
        local json = body.tvb:range(body.at, body:left())
        -- Without the NUL at its end.
        local len = json:len()
        if json:range(len - 1, 1):uint() == 0 then
            len = len - 1
        end
        if len > 0 then
            body.tree:add(f["version.data"], json:range(0, len))
            local tvb = json:range(0, len):tvb()
            pcall(function()
                Dissector.get("json"):call(tvb, body.pinfo, body.tree)
            end)
        end
        body.at = body.at + json:len()
    end
end

local function dma_map(body)
    body:u32("argsz")
    local flags = body:flags("dma_map.flags", { "read", "write", "mmap", "file_io" })
    body:u64("dma_map.offset")
    local addr, size = body:u64("dma_map.addr"), body:u64("dma_map.size")
    if size then
        body:say("addr %s size %s %s", hex(addr), hex(size),
            flag_names(flags, { "read", "write", "mmap", "file_io" }))
    end
end

local function dma_unmap(body)
    body:u32("argsz")
    local flags = body:flags("dma_unmap.flags", { "get_dirty_bitmap", "all" })
    local addr, size = body:u64("dma_unmap.addr"), body:u64("dma_unmap.size")
    if size then
        body:say("addr %s size %s %s", hex(addr), hex(size),
            flag_names(flags, { "dirty_bitmap", "all" }))
    end
    if flags and is_set(flags, 1) and body:left() > 0 then
        body:u64("bitmap.pgsize")
        body:u64("bitmap.size")
        body:rest("bitmap.data")
    end
end

local function device_info(body, reply)
    body:u32("argsz")
    local flags = body:flags("device_info.flags", { "reset", "pci" })
    local regions, irqs = body:u32("device_info.num_regions"), body:u32("device_info.num_irqs")
    if irqs and reply then
        body:say("%u regions, %u IRQ indexes %s", regions, irqs,
            flag_names(flags, { "reset", "pci" }))
    end
    body:rest()
end

-- The capabilities of a region, each of which must begin behind the one before.
local function capabilities(body, offset)
    local at, start = offset, body.start
    local count = 0
    while at ~= 0 do
        if start + at < body.at or start + at + 8 > body.tvb:len() or count == MAX_ENTRIES then
            if not body.cut then
                body.tree:add_proto_expert_info(e.capability)
            end
            return
        end
        body.at = start + at
        count = count + 1
        local id = body.tvb:range(body.at, 2):le_uint()
        body:group("Capability: " .. name_of(CAPABILITIES, id), function()
            body:u16("cap.id")
            body:u16("cap.version")
            at = body:u32("cap.next")
            if id == 1 then
                local areas = body:u32("cap.nr_areas")
                body:skip(4)
                for _ = 1, math.min(areas or 0, MAX_ENTRIES) do
                    if not body:u64("cap.area.offset") or not body:u64("cap.area.size") then
                        break
                    end
                end
            elseif id == 2 then
                body:u32("cap.type")
                body:u32("cap.subtype")
            end
        end)
    end
end

local function region_info(body, reply)
    body.start = body.at
    body:u32("argsz")
    local flags = body:flags("region_info.flags", { "read", "write", "mmap", "caps" })
    local index, offset = body:u32("region_info.index"), body:u32("region_info.cap_offset")
    local size = body:u64("region_info.size")
    body:u64("region_info.offset")
    if index then
        body:say("%s", name_of(REGIONS, index))
    end
    if size and reply then
        body:say("size %s %s", hex(size), flag_names(flags, { "read", "write", "mmap", "caps" }))
        if is_set(flags, 8) then
            capabilities(body, offset)
        end
    end
    body:rest()
end

local function region_io_fds(body, reply)
    body:u32("argsz")
    body:u32("region_io_fds.flags")
    local index, count = body:u32("region_io_fds.index"), body:u32("region_io_fds.count")
    if index then
        body:say("%s", name_of(REGIONS, index))
    end
    if not count or not reply then
        return
    end
    body:say("%u sub-regions", count)
    for i = 1, math.min(count, MAX_ENTRIES) do
        if body:left() < 40 then
            body:take(40)
            return
        end
        body:group(string.format("Sub-region %u", i - 1), function()
            body:u64("sub_region.offset")
            body:u64("sub_region.size")
            body:u32("sub_region.fd_index")
            local kind = body:u32("sub_region.type")
            body:u32("sub_region.flags")
            if kind == 1 then
                body:skip(4)
                body:u64("sub_region.user_data")
            else
                body:u32("sub_region.shadow_mem_fd_index")
                body:u64("sub_region.shadow_offset")
                body:u64("sub_region.datamatch")
            end
        end)
    end
    body:rest()
end

local function irq_info(body, reply)
    body:u32("argsz")
    local flags = body:flags("irq_info.flags", { "eventfd", "maskable", "automasked", "noresize" })
    local index, count = body:u32("irq_info.index"), body:u32("irq_info.count")
    if index then
        body:say("%s", name_of(IRQS, index))
    end
    if count and reply then
        body:say("count %u %s", count,
            flag_names(flags, { "eventfd", "maskable", "automasked", "noresize" }))
    end
    body:rest()
end

local function set_irqs(body)
    body:u32("argsz")
    local names = { "data_none", "data_bool", "data_eventfd", "mask", "unmask", "trigger" }
    local flags = body:flags("irq_set.flags", names)
    local index, start = body:u32("irq_set.index"), body:u32("irq_set.start")
    local count = body:u32("irq_set.count")
    if count then
        body:say("%s start %u count %u %s", name_of(IRQS, index), start, count,
            flag_names(flags, { "none", "bool", "eventfd", "mask", "unmask", "trigger" }))
    end
    body:rest("irq_set.data")
end

local function little_endian(range)
    local digits = {}
    for i = range:len() - 1, 0, -1 do
        table.insert(digits, string.format("%02x", range:range(i, 1):uint()))
    end
    return table.concat(digits)
end

-- Data that ends a message; that of a register is in the summary as a number.
local function data(body, expected)
    local len = body:left()
    if len > 0 and len <= 8 and expected == len then
        body:say("= 0x%s", little_endian(body.tvb:range(body.at, len)))
    end
    body:rest()
    if expected ~= len and not body.cut and not body.is_short then
        body.tree:add_proto_expert_info(e.size, string.format(
            "%u bytes of data, expected %s", len, tostring(expected)))
    end
end

-- The fixed part of an access to a region; returns its count.
local function access(body)
    local offset, region = body:u64("region.offset"), body:u32("region.region")
    local count = body:u32("region.count")
    if count then
        body:say("%s offset %s count %u", name_of(REGIONS, region), hex(offset), count)
    end
    return count
end

local function region_read(body, reply)
    local count = access(body)
    data(body, reply and count or 0)
end

local function region_write(body, reply)
    local count = access(body)
    data(body, reply and 0 or count)
end

local function dma_access(body, has_data)
    local addr, count = body:u64("dma.addr"), body:u64("dma.count")
    if count then
        body:say("addr %s count %s", hex(addr), tostring(count))
        -- The counts of messages are smaller than 2^32.
        data(body, has_data and (count:higher() == 0 and count:lower() or count) or 0)
    end
end

local function dma_read(body, reply)
    dma_access(body, reply)
end

local function dma_write(body, reply)
    dma_access(body, not reply)
end

local function write_multi(body, reply)
    local count = body:u64("write_multi.wr_cnt")
    if not count then
        return
    end
    body:say("%s writes", tostring(count))
    local left = reply and 0 or math.floor(body:left() / 24)
    for i = 1, math.min(left, MAX_ENTRIES) do
        body:group(string.format("Write %u", i - 1), function()
            body:u64("region.offset")
            body:u32("region.region")
            local size = body:u32("region.count")
            local range = body:take(8)
            body.tree:add(f["data"], range:range(0, math.max(1, math.min(size, 8))))
        end)
    end
    if not reply and not body.cut and (count:higher() ~= 0 or count:lower() ~= left) then
        body.tree:add_proto_expert_info(e.size, string.format("room for %u writes", left))
    end
    body:rest()
end

local function feature_data(body, index, flags)
    if index == 1 then
        body:flags("migration.flags", { "stop_copy", "p2p", "pre_copy" }, "uint64")
    elseif index == 2 then
        local state = body:u32("mig_state.device_state")
        body:u32("mig_state.data_fd")
        if state and (is_set(flags, 0x20000) or body.reply) then
            body:say("%s", name_of(STATES, state))
        end
    elseif index == 6 then
        body:u64("dma_logging.page_size")
        local ranges = body:u32("dma_logging.num_ranges")
        body:skip(4)
        for _ = 1, math.min(ranges or 0, MAX_ENTRIES) do
            if not body:u64("dma_logging.iova") or not body:u64("dma_logging.length") then
                break
            end
        end
    elseif index == 8 then
        body:u64("dma_logging.iova")
        body:u64("dma_logging.length")
        body:u64("dma_logging.page_size")
        body:rest("bitmap.data")
    end
end

local function feature(body)
    body:u32("argsz")
    local flags = body:flags("feature.flags", { "feature.index", "get", "set", "probe" })
    if not flags then
        return
    end
    local index = flags % 0x10000
    body:say("%s %s", name_of(FEATURES, index),
        flag_names(math.floor(flags / 0x10000), { "get", "set", "probe" }))
    if body:left() > 0 then
        feature_data(body, index, flags)
    end
    body:rest()
end

local function mig_data(body)
    body:u32("argsz")
    local size = body:u32("mig_data.size")
    if size then
        body:say("size %u", size)
    end
    body:rest()
end

local function empty(body)
    body:rest()
end

-- By command: how its body is read, and that of its reply; empty replies are no business of theirs.
local BODIES = {
    [1] = version, [2] = dma_map, [3] = dma_unmap, [4] = device_info, [5] = region_info,
    [6] = region_io_fds, [7] = irq_info, [8] = set_irqs, [9] = region_read, [10] = region_write,
    [11] = dma_read, [12] = dma_write, [13] = empty, [15] = write_multi, [16] = feature,
    [17] = mig_data, [18] = mig_data,
}

-------------------------------------------------------------------------- requests and replies --

-- By frame number; written in the first pass over a file, when frames come in order.
local waiting = {}  -- commands without a reply so far, by connection, sender and ID
local partner = {}  -- the frame of the reply to a command, and of the command to a reply
local sent_at = {}  -- times of commands
local known = {}    -- connections
local first_of = {} -- frames that are the first of a connection

function vfio_user.init()
    waiting, partner, sent_at, known, first_of = {}, {}, {}, {}, {}
end

local function note_message(m, number, time)
    local key = string.format("%u %s %s %u", m.connection, tostring(m.twin),
        tostring(m.sent ~= m.reply), m.id)
    if not known[m.connection] then
        known[m.connection] = true
        first_of[number] = true
    end
    if m.reply then
        local command = waiting[key]
        if command then
            partner[number] = command
            partner[command] = number
            waiting[key] = nil
        end
    elseif not m.no_reply then
        waiting[key] = number
        sent_at[number] = time
    end
end

local function add_link(m, tree, number, time, visited)
    local other = partner[number]
    if m.reply and other then
        tree:add(f["request_in"], other):set_generated()
        local seconds = time - sent_at[other]
        tree:add(f["time"], NSTime.new(math.floor(seconds),
            math.floor((seconds - math.floor(seconds)) * 1e9 + 0.5))):set_generated()
    elseif m.reply then
        tree:add_proto_expert_info(e.orphan)
    elseif other then
        tree:add(f["response_in"], other):set_generated()
    elseif visited and not m.no_reply then -- before that, its reply is still to come
        tree:add_proto_expert_info(e.pending)
    end
end

--------------------------------------------------------------------------------------- messages --

local function add_pseudo_header(tvb, tree, m)
    local range = tvb:range(0, PSEUDO_SIZE)
    local part = tree:add(vfio_user, range, "Capture")
    m.sent = tvb:range(1, 1):bitfield(7, 1) == 1
    m.twin = tvb:range(1, 1):bitfield(6, 1) == 1
    m.nr_fds = tvb:range(2, 2):le_uint()
    m.connection = tvb:range(4, 4):le_uint()
    m.dropped = tvb:range(8, 4):le_uint()
    part:add(f["capture.version"], tvb:range(0, 1))
    part:add(f["capture.sent"], tvb:range(1, 1))
    part:add(f["capture.twin"], tvb:range(1, 1))
    part:add_le(f["capture.nr_fds"], tvb:range(2, 2))
    part:add_le(f["capture.connection"], tvb:range(4, 4))
    local dropped = part:add_le(f["capture.dropped"], tvb:range(8, 4))
    if m.dropped > 0 then
        dropped:add_proto_expert_info(e.dropped, string.format(
            "%u messages before this one were dropped by the capture", m.dropped))
    end
end

local function add_header(tvb, tree, m)
    m.id = tvb:range(0, 2):le_uint()
    m.cmd = tvb:range(2, 2):le_uint()
    m.size = tvb:range(4, 4):le_uint()
    m.flags = tvb:range(8, 4):le_uint()
    m.error_no = tvb:range(12, 4):le_uint()
    m.error = is_set(m.flags, 0x20)
    m.no_reply = is_set(m.flags, 0x10)
    -- Some servers leave out the type of an error reply.
    m.reply = m.flags % 16 == 1 or (m.error and m.sent == (FROM_SERVER[m.cmd] == true))
    tree:add_le(f["msg_id"], tvb:range(0, 2))
    local cmd = tree:add_le(f["cmd"], tvb:range(2, 2))
    local size = tree:add_le(f["msg_size"], tvb:range(4, 4))
    local flags = tree:add_le(f["flags"], tvb:range(8, 4))
    for _, name in ipairs({ "type", "no_reply", "error" }) do
        flags:add_le(f["flags." .. name], tvb:range(8, 4))
    end
    local error_no = tree:add_le(f["error_no"], tvb:range(12, 4))
    if m.error then
        error_no:add_proto_expert_info(e.error, "Error reply: " .. name_of(ERRORS, m.error_no))
    end
    if not COMMANDS[m.cmd] then
        cmd:add_proto_expert_info(e.unknown)
    elseif (m.sent == m.reply) ~= (FROM_SERVER[m.cmd] == true) then
        cmd:add_proto_expert_info(e.direction)
    end
    if m.flags % 16 > 1 or m.flags >= 64 then
        flags:add_proto_expert_info(e.unknown)
    end
    if m.size ~= m.whole then
        size:add_proto_expert_info(e.size, string.format(
            "The message has %u bytes, and a size of %u in its header", m.whole, m.size))
    end
end

-- The line of a message.
local function summary(m, info)
    local kind = m.reply and "reply" or "command"
    local text = string.format("%s %s #%u%s%s", m.name, kind, m.id,
        m.no_reply and " posted" or "", info)
    if m.error then
        text = text .. " error " .. name_of(ERRORS, m.error_no)
    end
    if m.nr_fds > 0 then
        text = text .. string.format(" [%u fd%s]", m.nr_fds, m.nr_fds == 1 and "" or "s")
    end
    if m.dropped > 0 then
        text = text .. string.format(" [%u dropped before]", m.dropped)
    end
    return text
end

local function add_body(tvb, pinfo, tree, m)
    local body = Body.new(nil, tree, m.cut)
    body.pinfo, body.reply = pinfo, m.reply
    if tvb:len() > HEADER_SIZE then
        body.tvb = tvb:range(HEADER_SIZE):tvb()
    end
    -- Replies of some commands, and of errors, are the header alone.
    if body:left() > 0 or not (m.reply or m.cmd == 13 or m.cut) then
        local read = m.error and empty or BODIES[m.cmd] or empty
        read(body, m.reply)
    end
    return body.info
end

local function dissect(tvb, pinfo, tree)
    local m = {}
    local top = tree:add(vfio_user, tvb())

    pinfo.cols.protocol = "vfio-user"
    if tvb:len() < PSEUDO_SIZE or tvb:range(0, 1):uint() ~= 1 then
        top:add_proto_expert_info(e.pseudo)
        pinfo.cols.info = "Not a capture of vucctl"
        return
    end
    add_pseudo_header(tvb, top, m)
    pinfo.cols.src = m.sent and "client" or "server"
    pinfo.cols.dst = m.sent and "server" or "client"
    m.whole = tvb:reported_len() - PSEUDO_SIZE
    m.cut = tvb:reported_len() > tvb:len()
    if m.cut then
        top:add_proto_expert_info(e.truncated)
    end
    if tvb:len() < PSEUDO_SIZE + HEADER_SIZE then
        if not m.cut then
            top:add_proto_expert_info(e.short)
        end
        pinfo.cols.info = "Less than a header"
        return
    end
    local message = tvb:range(PSEUDO_SIZE):tvb()
    add_header(message, top, m)
    if not pinfo.visited then
        note_message(m, pinfo.number, pinfo.rel_ts)
    end
    if first_of[pinfo.number] then
        top:add_proto_expert_info(e.connection,
            string.format("First message of connection %u", m.connection))
    end
    m.name = COMMANDS[m.cmd] or string.format("COMMAND_%u", m.cmd)
    add_link(m, top, pinfo.number, pinfo.rel_ts, pinfo.visited)
    local info = add_body(message, pinfo, top, m)
    pinfo.cols.protocol = "vfio-user" -- not "JSON"
    pinfo.cols.info = summary(m, info)
    top:append_text(", " .. m.name .. (m.reply and " reply" or " command"))
end

function vfio_user.dissector(tvb, pinfo, tree)
    dissect(tvb, pinfo, tree)
    return tvb:len()
end

DissectorTable.get("wtap_encap"):add(DLT_ENCAP, vfio_user)
