import gzip
import random
from dataclasses import replace
from pathlib import Path

import pysam
import pytest

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.errors import InputError

ENSEMBL_GTF = """\
#!genome-build GRCh38.p14
1\thavana\tgene\t101\t500\t.\t+\t.\tgene_id "ENSG1"; gene_version "5"; gene_name "ABC1"; gene_biotype "protein_coding";
1\thavana\ttranscript\t101\t500\t.\t+\t.\tgene_id "ENSG1"; transcript_id "ENST1"; gene_name "ABC1"; tag "basic";
1\thavana\texon\t101\t200\t.\t+\t.\tgene_id "ENSG1"; transcript_id "ENST1"; exon_number "1"; gene_name "ABC1";
1\thavana\tCDS\t151\t200\t.\t+\t0\tgene_id "ENSG1"; transcript_id "ENST1"; exon_number "1"; gene_name "ABC1";
1\thavana\texon\t401\t500\t.\t+\t.\tgene_id "ENSG1"; transcript_id "ENST1"; exon_number "2"; gene_name "ABC1";
1\thavana\ttranscript\t120\t300\t.\t+\t.\tgene_id "ENSG1"; transcript_id "ENST2"; gene_name "ABC1";
1\thavana\texon\t120\t300\t.\t+\t.\tgene_id "ENSG1"; transcript_id "ENST2"; exon_number "1"; gene_name "ABC1";
1\tensembl\tgene\t900\t999\t.\t-\t.\tgene_id "ENSG2"; gene_version "1"; gene_biotype "lncRNA";
1\tensembl\ttranscript\t900\t999\t.\t-\t.\tgene_id "ENSG2"; transcript_id "ENST3";
1\tensembl\texon\t951\t999\t.\t-\t.\tgene_id "ENSG2"; transcript_id "ENST3"; exon_number "1";
1\tensembl\texon\t900\t920\t.\t-\t.\tgene_id "ENSG2"; transcript_id "ENST3"; exon_number "2";
"""

GENCODE_GFF3 = """\
##gff-version 3
chr1\tHAVANA\tgene\t101\t500\t.\t+\t.\tID=ENSG1.5;gene_id=ENSG1.5;gene_type=protein_coding;gene_name=ABC1;level=2
chr1\tHAVANA\ttranscript\t101\t500\t.\t+\t.\tID=ENST1.2;Parent=ENSG1.5;gene_id=ENSG1.5;transcript_id=ENST1.2;gene_name=ABC1
chr1\tHAVANA\texon\t101\t200\t.\t+\t.\tID=exon:ENST1.2:1;Parent=ENST1.2;gene_id=ENSG1.5;transcript_id=ENST1.2;gene_name=ABC1
chr1\tHAVANA\tCDS\t151\t200\t.\t+\t0\tID=CDS:ENST1.2;Parent=ENST1.2;gene_id=ENSG1.5;transcript_id=ENST1.2;gene_name=ABC1
chr1\tHAVANA\texon\t401\t500\t.\t+\t.\tID=exon:ENST1.2:2;Parent=ENST1.2;gene_id=ENSG1.5;transcript_id=ENST1.2;gene_name=ABC1
chr1\tHAVANA\tfive_prime_UTR\t101\t150\t.\t+\t.\tID=UTR5:ENST1.2;Parent=ENST1.2;gene_id=ENSG1.5;transcript_id=ENST1.2
"""

ENSEMBL_GFF3 = """\
##gff-version 3
##sequence-region   1 1 2000
1\tGRCh38\tchromosome\t1\t2000\t.\t.\t.\tID=chromosome:1;Alias=CM000663.2
###
1\tensembl_havana\tgene\t101\t500\t.\t+\t.\tID=gene:ENSG1;Name=ABC1;biotype=protein_coding;gene_id=ENSG1;version=5
1\thavana\tmRNA\t101\t500\t.\t+\t.\tID=transcript:ENST1;Parent=gene:ENSG1;Name=ABC1-201;transcript_id=ENST1;version=2
1\thavana\tfive_prime_UTR\t101\t150\t.\t+\t.\tParent=transcript:ENST1
1\thavana\texon\t101\t200\t.\t+\t.\tParent=transcript:ENST1;Name=ENSE1;exon_id=ENSE1
1\thavana\texon\t401\t500\t.\t+\t.\tParent=transcript:ENST1;Name=ENSE2;exon_id=ENSE2
###
1\thavana\tncRNA_gene\t900\t999\t.\t-\t.\tID=gene:ENSG2;biotype=lncRNA;gene_id=ENSG2
1\thavana\tlnc_RNA\t900\t999\t.\t-\t.\tID=transcript:ENST3;Parent=gene:ENSG2;transcript_id=ENST3
1\thavana\texon\t900\t999\t.\t-\t.\tParent=transcript:ENST3;Name=ENSE3
"""

REFSEQ_GFF3 = """\
##gff-version 3
NC_1.1\tRefSeq\tregion\t1\t2000\t.\t+\t.\tID=NC_1.1:1..2000;Name=1;chromosome=1
NC_1.1\tBestRefSeq\tgene\t101\t500\t.\t+\t.\tID=gene-ABC1;Dbxref=GeneID:1;Name=ABC1;gbkey=Gene;gene=ABC1
NC_1.1\tBestRefSeq\tmRNA\t101\t500\t.\t+\t.\tID=rna-NM_1.4;Parent=gene-ABC1;Name=NM_1.4;gbkey=mRNA;gene=ABC1;transcript_id=NM_1.4
NC_1.1\tBestRefSeq\texon\t101\t200\t.\t+\t.\tID=exon-NM_1.4-1;Parent=rna-NM_1.4;gbkey=mRNA;gene=ABC1;transcript_id=NM_1.4
NC_1.1\tBestRefSeq\texon\t401\t500\t.\t+\t.\tID=exon-NM_1.4-2;Parent=rna-NM_1.4;gbkey=mRNA;gene=ABC1;transcript_id=NM_1.4
NC_1.1\tBestRefSeq\tgene\t700\t800\t.\t-\t.\tID=gene-MIR1;Name=MIR1;gbkey=Gene;gene=MIR1
NC_1.1\tBestRefSeq\tprimary_transcript\t700\t800\t.\t-\t.\tID=rna-NR_2.1;Parent=gene-MIR1;gene=MIR1;transcript_id=NR_2.1
NC_1.1\tBestRefSeq\texon\t700\t800\t.\t-\t.\tID=exon-NR_2.1-1;Parent=rna-NR_2.1;gene=MIR1;transcript_id=NR_2.1
NC_1.1\tBestRefSeq\tmiRNA\t710\t730\t.\t-\t.\tID=rna-MIR1;Parent=rna-NR_2.1;gene=MIR1;product=miR-1
NC_1.1\tBestRefSeq\texon\t710\t730\t.\t-\t.\tID=exon-MIR1-1;Parent=rna-MIR1;gene=MIR1
NC_1.1\tCurated Genomic\tpseudogene\t900\t999\t.\t+\t.\tID=gene-PSG;Name=PSG;gbkey=Gene;gene=PSG;pseudo=true
NC_1.1\tCurated Genomic\texon\t901\t999\t.\t+\t.\tID=id-PSG;Parent=gene-PSG;gbkey=exon;gene=PSG
"""

ABC1 = Transcript("1", 100, 500, "+", "ENST1", "ENSG1", "ABC1", ((100, 200), (400, 500)))


def _write(folder: Path, text: str) -> Path:
    path = folder / "genes"
    path.write_text(text)
    return path


def test_ensembl_gtf(tmp_path: Path) -> None:
    assert read_transcripts(_write(tmp_path, ENSEMBL_GTF)) == [
        ABC1,
        Transcript("1", 119, 300, "+", "ENST2", "ENSG1", "ABC1", ((119, 300),)),
        Transcript("1", 899, 999, "-", "ENST3", "ENSG2", "ENSG2", ((899, 920), (950, 999))),
    ]


def test_gencode_gff3(tmp_path: Path) -> None:
    assert read_transcripts(_write(tmp_path, GENCODE_GFF3)) == [
        Transcript("chr1", 100, 500, "+", "ENST1.2", "ENSG1.5", "ABC1", ((100, 200), (400, 500)))
    ]


def test_ensembl_gff3(tmp_path: Path) -> None:
    assert read_transcripts(_write(tmp_path, ENSEMBL_GFF3)) == [
        ABC1,
        Transcript("1", 899, 999, "-", "ENST3", "ENSG2", "ENSG2", ((899, 999),)),
    ]


def test_refseq_gff3(tmp_path: Path) -> None:
    assert read_transcripts(_write(tmp_path, REFSEQ_GFF3)) == [
        Transcript("NC_1.1", 100, 500, "+", "NM_1.4", "ABC1", "ABC1", ((100, 200), (400, 500))),
        Transcript("NC_1.1", 699, 800, "-", "NR_2.1", "MIR1", "MIR1", ((699, 800),)),
        Transcript("NC_1.1", 709, 730, "-", "MIR1", "MIR1", "MIR1", ((709, 730),)),
        Transcript("NC_1.1", 899, 999, "+", "", "PSG", "PSG", ((900, 999),)),
    ]


def test_refseq_gtf_has_empty_transcript_id_on_genes(tmp_path: Path) -> None:
    text = (
        'NC_1.1\tRefSeq\tgene\t101\t500\t.\t+\t.\tgene_id "ABC1"; transcript_id ""; gene "ABC1"; gbkey "Gene"; \n'
        'NC_1.1\tRefSeq\ttranscript\t101\t500\t.\t+\t.\tgene_id "ABC1"; transcript_id "NM_1.4"; gene "ABC1"; \n'
        'NC_1.1\tRefSeq\texon\t101\t500\t.\t+\t.\tgene_id "ABC1"; transcript_id "NM_1.4"; gene "ABC1";\n'
    )
    assert read_transcripts(_write(tmp_path, text)) == [
        Transcript("NC_1.1", 100, 500, "+", "NM_1.4", "ABC1", "ABC1", ((100, 500),))
    ]


def test_exon_lines_alone_span_their_transcript(tmp_path: Path) -> None:
    text = (
        'chr2\tucsc\texon\t401\t500\t.\t-\t.\tgene_id "G"; transcript_id "T";\n'
        'chr2\tucsc\tCDS\t401\t450\t.\t-\t.\tgene_id "G"; transcript_id "T";\n'
        'chr2\tucsc\texon\t101\t200\t.\t-\t.\tgene_id "G"; transcript_id "T";\n'
    )
    assert read_transcripts(_write(tmp_path, text)) == [
        Transcript("chr2", 100, 500, "-", "T", "G", "G", ((100, 200), (400, 500)))
    ]


def test_one_identifier_on_two_contigs_is_two_transcripts(tmp_path: Path) -> None:
    line = '{}\tx\texon\t101\t200\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
    found = read_transcripts(_write(tmp_path, line.format("chrX") + line.format("chrY")))
    assert [(transcript.contig, transcript.start, transcript.end) for transcript in found] == [
        ("chrX", 100, 200),
        ("chrY", 100, 200),
    ]


def test_gene_without_transcripts_stands_for_itself(tmp_path: Path) -> None:
    gtf = 'chr1\tx\tgene\t11\t90\t.\t-\t.\tgene_id "G"; gene_name "Gene one";\n'
    gff3 = "chr1\tx\tgene\t11\t90\t.\t-\t.\tID=G;Name=Gene one\n"
    expected = [Transcript("chr1", 10, 90, "-", "", "G", "Gene one", ())]
    assert read_transcripts(_write(tmp_path, gtf)) == expected
    assert read_transcripts(_write(tmp_path, gff3)) == expected


def test_exons_that_touch_or_overlap_are_merged(tmp_path: Path) -> None:
    text = "".join(
        f'chr1\tx\texon\t{start}\t{end}\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
        for start, end in [(101, 200), (201, 230), (220, 240), (242, 250)]
    )
    assert read_transcripts(_write(tmp_path, text))[0].exons == ((100, 240), (241, 250))


def test_gff3_exon_may_have_several_parents_and_come_first(tmp_path: Path) -> None:
    text = (
        "chr1\tx\texon\t1\t50\t.\t+\t.\tParent=t1,t2\n"
        "chr1\tx\tgene\t1\t90\t.\t+\t.\tID=g\n"
        "chr1\tx\tmRNA\t1\t90\t.\t+\t.\tID=t1;Parent=g\n"
        "chr1\tx\tmRNA\t1\t60\t.\t+\t.\tID=t2;Parent=g\n"
        "chr1\tx\texon\t61\t90\t.\t+\t.\tParent=t1\n"
    )
    assert [(t.transcript_id, t.exons) for t in read_transcripts(_write(tmp_path, text))] == [
        ("t1", ((0, 50), (60, 90))),
        ("t2", ((0, 50),)),
    ]


def test_gff3_escapes_and_parents_in_a_circle(tmp_path: Path) -> None:
    text = (
        "chr1\tx\tgene\t1\t90\t.\t+\t.\tID=g;Name=a%2Cb\n"
        "chr1\tx\tmRNA\t1\t90\t.\t+\t.\tID=t1;Parent=t2\n"
        "chr1\tx\tmRNA\t1\t60\t.\t+\t.\tID=t2;Parent=t1\n"
    )
    found = read_transcripts(_write(tmp_path, text))
    assert [transcript.transcript_id for transcript in found] == ["", "t1", "t2"]
    assert found[0].gene_name == "a,b"


def test_gff3_stops_at_the_sequence(tmp_path: Path) -> None:
    text = "chr1\tx\tgene\t1\t90\t.\t+\t.\tID=g\n##FASTA\n>chr1\nACGT\n"
    assert [transcript.gene_id for transcript in read_transcripts(_write(tmp_path, text))] == ["g"]


@pytest.mark.parametrize("kind", ["gzip", "bgzip", "crlf"])
def test_compressed_files_and_windows_line_ends_read_the_same(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "genes.gtf"
    path.write_text(ENSEMBL_GTF)
    other = tmp_path / "other"
    if kind == "gzip":
        other.write_bytes(gzip.compress(path.read_bytes()))
    elif kind == "bgzip":
        pysam.tabix_compress(str(path), str(other))
    else:
        other.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_transcripts(other) == read_transcripts(path)


def test_features_without_strand_are_left_out(tmp_path: Path) -> None:
    unstranded = 'chr1\tx\ttranscript\t1\t9\t.\t.\t.\tgene_id "H"; transcript_id "U";\n'
    found = read_transcripts(_write(tmp_path, ENSEMBL_GTF + unstranded))
    assert [transcript.transcript_id for transcript in found] == ["ENST1", "ENST2", "ENST3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\tx\tgene\t1\t90\t.\t+\n", ":1: expected nine columns"),
        ("chr1\tx\tgene\t90\t1\t.\t+\t.\tID=g\n", ":1: expected nine columns, 1 <= start <= end"),
        ("chr1\tx\tgene\t0\t1\t.\t+\t.\tID=g\n", ":1: expected nine columns, 1 <= start <= end"),
        ("# comment\nchr1\tx\tgene\tone\t90\t.\t+\t.\tID=g\n", ":2: expected nine columns"),
        ("chr1 x gene 1 90\n", ":1: expected nine tab-separated columns"),
        ("", "no gene, transcript or exon"),
        ("chr1\tx\tCDS\t1\t90\t.\t+\t0\tID=c\n", "no gene, transcript or exon"),
    ],
)
def test_broken_files_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        read_transcripts(_write(tmp_path, text))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_transcripts(tmp_path / "absent.gtf")
    cut = tmp_path / "cut.gtf.gz"
    cut.write_bytes(gzip.compress(ENSEMBL_GTF.encode())[:-30])
    with pytest.raises(InputError, match="cannot read the gene annotation"):
        read_transcripts(cut)


# Coding parts

STOP = '1\thavana\tstop_codon\t401\t403\t.\t+\t0\tgene_id "ENSG1"; transcript_id "ENST1";\n'


def _cds(folder: Path, text: str) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
    return [(found.transcript_id, found.cds) for found in read_transcripts(_write(folder, text), with_cds=True)]


def test_cds_and_stop_codon_are_coding(tmp_path: Path) -> None:
    expected = [("ENST1", ((150, 200), (400, 403))), ("ENST2", ()), ("ENST3", ())]
    assert _cds(tmp_path, ENSEMBL_GTF + STOP) == expected
    assert _cds(tmp_path, GENCODE_GFF3) == [("ENST1.2", ((150, 200),))]
    assert _cds(tmp_path, REFSEQ_GFF3)[0] == ("NM_1.4", ())


def test_nothing_else_changes_with_cds(tmp_path: Path) -> None:
    for text in (ENSEMBL_GTF + STOP, GENCODE_GFF3, ENSEMBL_GFF3, REFSEQ_GFF3):
        path = _write(tmp_path, text)
        without = read_transcripts(path)
        assert all(found.cds == () for found in without)
        assert [replace(found, cds=()) for found in read_transcripts(path, with_cds=True)] == without


def test_gtf_lines_may_come_in_any_order(tmp_path: Path) -> None:
    expected = sorted(_cds(tmp_path, ENSEMBL_GTF + STOP))
    spans = {
        (found.transcript_id, found.start, found.end, found.exons) for found in read_transcripts(tmp_path / "genes")
    }
    lines = (ENSEMBL_GTF + STOP).splitlines(keepends=True)
    for seed in range(20):
        random.Random(seed).shuffle(lines)
        assert sorted(_cds(tmp_path, "".join(lines))) == expected
        again = read_transcripts(tmp_path / "genes")
        assert {(found.transcript_id, found.start, found.end, found.exons) for found in again} == spans


def test_gff3_cds_of_a_gene_without_transcript(tmp_path: Path) -> None:
    text = (
        "chr1\tx\tCDS\t11\t40\t.\t+\t0\tID=c;Parent=g\n"
        "chr1\tx\tgene\t1\t90\t.\t+\t.\tID=g\n"
        "chr1\tx\tCDS\t51\t60\t.\t+\t0\tID=c;Parent=g\n"
    )
    assert _cds(tmp_path, text) == [("", ((10, 40), (50, 60)))]


@pytest.mark.real_data
def test_real_annotation(data: Path) -> None:
    transcripts = read_transcripts(data / "hg19" / "genes.gtf.gz")
    assert len(transcripts) == 18677
    assert sum(len(transcript.exons) for transcript in transcripts) == 203507
