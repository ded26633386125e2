//! A file that code is loaded from: what unwinding and naming need of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use framehop::ExplicitModuleSectionInfo;
use object::elf::PF_X;
use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef, SegmentFlags};

use super::go;
use super::python;
use super::table::{CodeKind, StackModule};

/// The most bytes of one section that are read for unwinding.
const SECTION_MAX: u64 = 256 << 20;

/// A mapping of a process that holds code (proc(5), maps).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodeMapping {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Where in its file it begins.
    offset: u64,
    /// Inode number of the file; 0 for none.
    ino: u64,
    pub(super) path: String,
}

impl CodeMapping {
    /// The code that a process has mapped, in order of address.
    pub(super) fn all(tid: i32) -> std::io::Result<Vec<Self>> {
        let mut all = Vec::new();
        for line in BufReader::new(File::open(format!("/proc/{tid}/maps"))?).lines() {
            all.extend(Self::parse(&line?));
        }
        Ok(all)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (from, to) = fields.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let executable = fields.next()?.contains('x');
        let offset = hex(fields.next()?)?;
        let ino = fields.nth(1)?.parse().ok()?;
        let path = fields.next().unwrap_or("").trim_start().to_string();
        executable.then_some(Self {
            from: hex(from)?,
            to: hex(to)?,
            offset,
            ino,
            path,
        })
    }

    /// Whether its bytes are those of a file.
    pub(super) fn is_file(&self) -> bool {
        self.ino != 0
    }
}

/// Which file it is, whatever path it has.
pub(super) type FileKey = (u64, u64, i64, u64);

/// A file with code.
pub(super) struct Module {
    pub(super) about: StackModule,
    /// Open as long as names may be asked for.
    file: File,
    /// Whether its path means the same file outside of the sandbox.
    here: bool,
    /// The parts that are loaded as code: offset in the file, length there, address that it counts with.
    segments: Vec<(u64, u64, u64)>,
    sections: ExplicitModuleSectionInfo<Arc<[u8]>>,
    /// The CPython that is in it.
    pub(super) python: Option<python::Symbols>,
    /// The functions of the Go program that it is, or why they are not known.
    pub(super) go: Option<Result<Arc<go::Table>, String>>,
}

/// Opens the file of a mapping as its process sees it; none where it has gone, or another is there.
pub(super) fn open(tid: i32, mapping: &CodeMapping) -> Option<(FileKey, File)> {
    let path = format!("/proc/{tid}/root{}", mapping.path);
    let file = File::open(path).ok()?;
    let meta = file.metadata().ok()?;
    let same = meta.ino() == mapping.ino && meta.is_file();
    same.then(|| ((meta.dev(), meta.ino(), meta.mtime(), meta.len()), file))
}

impl Module {
    /// Reads what unwinding needs; none where it is no ELF file.
    pub(super) fn read(path: &str, key: FileKey, file: File) -> Option<Self> {
        let cache = ReadCache::new(file.try_clone().ok()?);
        let elf = object::File::parse(&cache).ok()?;
        // Two segments may share a page of the file, of which the other has no code.
        let code =
            |flags| matches!(flags, SegmentFlags::Elf { p_flags, .. } if p_flags & PF_X == PF_X);
        let segments = elf.segments().filter(|one| code(one.flags()));
        let segments = segments.map(|one| {
            let (offset, len) = one.file_range();
            (offset, len, one.address())
        });
        let segments = segments.collect();
        let build_id = elf.build_id().ok().flatten().map(hex);
        let sections = sections(&elf);
        let there = std::fs::metadata(path).ok();
        let here = there.is_some_and(|meta| (meta.dev(), meta.ino()) == (key.0, key.1));
        let python = python::Symbols::of(&elf);
        let go = go::Table::of(&elf).map(|table| table.map(Arc::new));
        let kind = match python.as_ref().is_some_and(python::Symbols::known) {
            true => CodeKind::Interpreter,
            false => CodeKind::Native,
        };
        let about = StackModule {
            path: path.into(),
            build_id,
            kind,
        };
        Some(Self {
            about,
            file,
            here,
            segments,
            sections,
            python,
            go,
        })
    }

    /// What has to be added to the module's own addresses where it is mapped so.
    pub(super) fn bias(&self, mapping: &CodeMapping) -> Option<u64> {
        let offset = mapping.offset;
        let mut segments = self.segments.iter();
        // A mapping begins with a page, a segment anywhere in one.
        let (at, _, address) = segments.find(|(at, len, _)| {
            let from = at & !0xfff;
            (from..at.saturating_add(*len).max(from + 1)).contains(&offset)
        })?;
        let own = address.wrapping_sub(*at).wrapping_add(offset);
        Some(mapping.from.wrapping_sub(own))
    }

    /// The same for an unwinder, where its code is mapped from `range` on with this bias.
    pub(super) fn for_unwinder(
        &self,
        range: std::ops::Range<u64>,
        bias: u64,
    ) -> framehop::Module<Arc<[u8]>> {
        let of = &self.sections;
        let sections = ExplicitModuleSectionInfo {
            text_svma: of.text_svma.clone(),
            text: of.text.clone(),
            got_svma: of.got_svma.clone(),
            eh_frame_svma: of.eh_frame_svma.clone(),
            eh_frame: of.eh_frame.clone(),
            eh_frame_hdr_svma: of.eh_frame_hdr_svma.clone(),
            eh_frame_hdr: of.eh_frame_hdr.clone(),
            debug_frame: of.debug_frame.clone(),
            ..ExplicitModuleSectionInfo::default()
        };
        framehop::Module::new(self.about.path.clone(), range, bias, sections)
    }

    /// A path that opens it outside of the sandbox.
    pub(super) fn path_here(&self) -> PathBuf {
        match self.here {
            true => Path::new(&self.about.path).to_path_buf(),
            false => format!("/proc/self/fd/{}", self.file.as_raw_fd()).into(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sections<'a, R: ReadRef<'a>>(elf: &object::File<'a, R>) -> ExplicitModuleSectionInfo<Arc<[u8]>> {
    let range = |name: &str| {
        let section = elf.section_by_name(name)?;
        let end = section.address().checked_add(section.size())?;
        Some(section.address()..end)
    };
    let data = |name: &str| {
        let section = elf.section_by_name(name)?;
        let small = section.size() <= SECTION_MAX;
        let data = small.then(|| section.uncompressed_data().ok()).flatten()?;
        (!data.is_empty()).then(|| Arc::<[u8]>::from(&*data))
    };
    let eh_frame = data(".eh_frame");
    ExplicitModuleSectionInfo {
        text_svma: range(".text"),
        got_svma: range(".got"),
        eh_frame_svma: range(".eh_frame"),
        eh_frame_hdr_svma: range(".eh_frame_hdr"),
        eh_frame_hdr: data(".eh_frame_hdr"),
        // As a rule it has the same, and a program of which it was taken is too large to read it all.
        debug_frame: eh_frame.is_none().then(|| data(".debug_frame")).flatten(),
        eh_frame,
        ..ExplicitModuleSectionInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_among_mappings() {
        let line = "7f2b8c028000-7f2b8c1bd000 r-xp 00028000 fd:00 2117 /usr/lib/a b.so (deleted)";
        let mapping = CodeMapping::parse(line).expect("code");
        assert_eq!((mapping.from, mapping.offset), (0x7f2b_8c02_8000, 0x28000));
        assert_eq!(mapping.path, "/usr/lib/a b.so (deleted)");
        assert!(mapping.is_file());
        let jit = "7f2b8c028000-7f2b8c1bd000 rwxp 00000000 00:00 0 ";
        assert!(!CodeMapping::parse(jit).expect("code").is_file());
        let data = "7f2b8c028000-7f2b8c1bd000 rw-p 00028000 fd:00 2117 /usr/lib/a.so";
        assert_eq!(CodeMapping::parse(data), None);
    }

    #[test]
    fn this_program_can_be_unwound() {
        let tid = std::process::id() as i32;
        let own = std::env::current_exe().expect("a path");
        let mappings = CodeMapping::all(tid).expect("mappings");
        let mapping = mappings.iter().find(|one| own == Path::new(&one.path));
        let mapping = mapping.expect("its own code");
        let (key, file) = open(tid, mapping).expect("its file");
        let module = Module::read(&mapping.path, key, file).expect("an ELF file");
        assert!(module.sections.eh_frame.is_some() && module.here);
        let bias = module.bias(mapping).expect("a bias");
        let place = hex as *const () as u64;
        assert!(place > bias && (mapping.from..mapping.to).contains(&place));
    }
}
