import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.Calendar;
import java.util.Collections;
import java.util.List;
import javax.xml.crypto.dsig.CanonicalizationMethod;
import javax.xml.crypto.dsig.DigestMethod;
import javax.xml.crypto.dsig.Reference;
import javax.xml.crypto.dsig.SignatureMethod;
import javax.xml.crypto.dsig.SignedInfo;
import javax.xml.crypto.dsig.Transform;
import javax.xml.crypto.dsig.XMLSignatureFactory;
import javax.xml.crypto.dsig.dom.DOMSignContext;
import javax.xml.crypto.dsig.keyinfo.KeyInfoFactory;
import javax.xml.crypto.dsig.spec.C14NMethodParameterSpec;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.PDSignature;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.SignatureInterface;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.CMSException;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedDataGenerator;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OperatorCreationException;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.w3c.dom.Document;

/**
 * Signs documents with the key of a token through SunPKCS11: PDF as PDFBox does it, XML as the JDK does it.
 *
 * <pre>java DocumentSigner.java pdf|xml CONFIGURATION DOCUMENT SIGNED [NAME]</pre>
 *
 * The token's password is the first line of standard input.
 */
public final class DocumentSigner {
    private final Provider provider;
    private final PrivateKey key;
    private final List<Certificate> chain;

    public static void main(String[] arguments) throws Exception {
        Path configuration = Path.of(arguments[1]);
        Path document = Path.of(arguments[2]);
        Path signed = Path.of(arguments[3]);
        DocumentSigner signer = new DocumentSigner(configuration, password());
        switch (arguments[0]) {
            case "pdf" -> signer.signPdf(document, signed, arguments[4]);
            case "xml" -> signer.signXml(document, signed);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static char[] password() throws IOException {
        if (System.console() != null) {
            return System.console().readPassword("Signature password: ");
        }
        return new BufferedReader(new InputStreamReader(System.in)).readLine().toCharArray();
    }

    private DocumentSigner(Path configuration, char[] password) throws Exception {
        provider = Security.getProvider("SunPKCS11").configure(configuration.toString());
        Security.addProvider(provider);
        KeyStore token = KeyStore.getInstance("PKCS11", provider);
        token.load(null, password);
        Arrays.fill(password, '\0');
        for (String alias : Collections.list(token.aliases())) {
            if (token.isKeyEntry(alias)) {
                key = (PrivateKey) token.getKey(alias, null);
                chain = List.of(token.getCertificateChain(alias));
                return;
            }
        }
        throw new IllegalStateException("the token has no key");
    }

    /** As the registry's online filing asks: adbe.pkcs7.detached, with the signer's name and the date. */
    private void signPdf(Path document, Path signed, String name) throws IOException {
        PDSignature signature = new PDSignature();
        signature.setFilter(PDSignature.FILTER_ADOBE_PPKLITE);
        signature.setSubFilter(PDSignature.SUBFILTER_ADBE_PKCS7_DETACHED);
        signature.setName(name);
        signature.setSignDate(Calendar.getInstance());
        SignatureInterface cms = this::cms;
        try (PDDocument pdf = PDDocument.load(document.toFile());
                OutputStream output = new FileOutputStream(signed.toFile())) {
            pdf.addSignature(signature, cms);
            pdf.saveIncremental(output);
        }
    }

    /** A detached CMS signature of everything that {@code content} holds. */
    private byte[] cms(InputStream content) throws IOException {
        try {
            ContentSigner signer = new JcaContentSignerBuilder("SHA256withRSA").setProvider(provider).build(key);
            CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
            generator.addSignerInfoGenerator(
                    new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().build())
                            .build(signer, (X509Certificate) chain.get(0)));
            generator.addCertificates(new JcaCertStore(chain));
            return generator.generate(new CMSProcessableByteArray(content.readAllBytes()), false).getEncoded();
        } catch (OperatorCreationException | CMSException | java.security.cert.CertificateEncodingException failure) {
            throw new IOException(failure);
        }
    }

    /** As e-government applications have it: an enveloped signature over the whole document, with the certificate. */
    private void signXml(Path document, Path signed) throws Exception {
        DocumentBuilderFactory builders = DocumentBuilderFactory.newInstance();
        builders.setNamespaceAware(true);
        Document xml = builders.newDocumentBuilder().parse(document.toFile());
        XMLSignatureFactory signatures = XMLSignatureFactory.getInstance("DOM");
        Reference whole = signatures.newReference(
                "",
                signatures.newDigestMethod(DigestMethod.SHA256, null),
                List.of(signatures.newTransform(Transform.ENVELOPED, (TransformParameterSpec) null)),
                null,
                null);
        SignedInfo info = signatures.newSignedInfo(
                signatures.newCanonicalizationMethod(CanonicalizationMethod.INCLUSIVE, (C14NMethodParameterSpec) null),
                signatures.newSignatureMethod(SignatureMethod.RSA_SHA256, null),
                List.of(whole));
        KeyInfoFactory keys = signatures.getKeyInfoFactory();
        DOMSignContext context = new DOMSignContext(key, xml.getDocumentElement());
        context.setProperty("org.jcp.xml.dsig.internal.dom.SignatureProvider", provider);
        signatures
                .newXMLSignature(info, keys.newKeyInfo(List.of(keys.newX509Data(chain))))
                .sign(context);
        try (OutputStream output = Files.newOutputStream(signed)) {
            TransformerFactory.newInstance().newTransformer().transform(new DOMSource(xml), new StreamResult(output));
        }
    }
}
